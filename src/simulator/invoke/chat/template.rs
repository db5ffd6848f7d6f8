//! Parses prompts back into turns. A prompt that does not follow the family's template is rejected.

use serde_json::{Value, json};

use crate::simulator::ServiceError;

/// The marks of a template of Llama.
pub struct Marks {
    begin: &'static str,
    header: (&'static str, &'static str),
    end: &'static str,
}

pub const LLAMA3: Marks = Marks {
    begin: "<|begin_of_text|>",
    header: ("<|start_header_id|>", "<|end_header_id|>"),
    end: "<|eot_id|>",
};

pub const LLAMA4: Marks = Marks {
    begin: "<|begin_of_text|>",
    header: ("<|header_start|>", "<|header_end|>"),
    end: "<|eot|>",
};

fn broken(what: &str) -> ServiceError {
    ServiceError::validation(format!("The prompt does not follow the template: {what}."))
}

fn prompt(body: &Value) -> &str {
    body["prompt"].as_str().unwrap_or_default()
}

/// Returns the Converse request for the turns, which must alternate and begin with the user's.
fn request(
    body: &Value,
    cap: &str,
    system: &str,
    turns: &[(bool, String)],
) -> Result<Value, ServiceError> {
    if turns.is_empty() || !turns.iter().step_by(2).all(|(is_user, _)| *is_user) {
        return Err(broken("turns must alternate and begin with the user's"));
    }
    if turns.iter().skip(1).step_by(2).any(|(is_user, _)| *is_user) {
        return Err(broken("turns must alternate"));
    }
    let messages: Vec<Value> = turns
        .iter()
        .map(|(is_user, text)| {
            let role = if *is_user { "user" } else { "assistant" };
            json!({"role": role, "content": [{"text": text}]})
        })
        .collect();
    let system: Vec<Value> = Some(system)
        .filter(|system| !system.is_empty())
        .map(|system| json!({"text": system}))
        .into_iter()
        .collect();
    let mut config = json!({"maxTokens": body[cap]});
    if !body["stop"].is_null() {
        config["stopSequences"] = body["stop"].clone();
    }
    Ok(json!({"messages": messages, "system": system, "inferenceConfig": config}))
}

/// Parses a prompt of Llama.
///
/// # Errors
/// `ValidationException` for a broken template.
pub fn llama(body: &Value, marks: &Marks) -> Result<Value, ServiceError> {
    let rest = prompt(body)
        .strip_prefix(marks.begin)
        .ok_or_else(|| broken("it has no beginning"))?;
    let mut system = String::new();
    let mut turns: Vec<(bool, String)> = Vec::new();
    let mut parts = rest.split(marks.header.0);
    if parts.next() != Some("") {
        return Err(broken("there is text before the first header"));
    }
    let parts: Vec<&str> = parts.collect();
    for (nth, part) in parts.iter().enumerate() {
        let (role, text) = part
            .split_once(marks.header.1)
            .ok_or_else(|| broken("a header has no end"))?;
        let text = text
            .strip_prefix("\n\n")
            .ok_or_else(|| broken("two line breaks must follow a header"))?;
        let is_last = nth + 1 == parts.len();
        let text = match (text.strip_suffix(marks.end), is_last) {
            (Some(text), false) => text,
            (None, true) if role == "assistant" => text,
            _ => return Err(broken("only the last turn, the assistant's, is open")),
        };
        if text.contains(marks.end) || text.contains(marks.begin) {
            return Err(broken("a turn has a mark in its text"));
        }
        match role {
            "system" if nth == 0 => text.clone_into(&mut system),
            "user" => turns.push((true, text.to_owned())),
            "assistant" if is_last && text.is_empty() => {}
            "assistant" => turns.push((false, text.to_owned())),
            _ => return Err(broken("a role is unknown or misplaced")),
        }
    }
    request(body, "max_gen_len", &system, &turns)
}

/// Parses a prompt of Llama 2.
///
/// # Errors
/// `ValidationException` for a broken template.
pub fn llama2(body: &Value) -> Result<Value, ServiceError> {
    let mut sequences = prompt(body).split("<s>[INST] ");
    if sequences.next() != Some("") {
        return Err(broken("it must begin with an instruction"));
    }
    let sequences: Vec<&str> = sequences.collect();
    let (mut system, mut turns) = (String::new(), Vec::new());
    for (nth, sequence) in sequences.iter().enumerate() {
        let (mut user, answer) = sequence
            .split_once(" [/INST]")
            .ok_or_else(|| broken("an instruction has no end"))?;
        if let Some(rest) = user.strip_prefix("<<SYS>>\n").filter(|_| nth == 0) {
            let (own, text) = rest
                .split_once("\n<</SYS>>\n\n")
                .ok_or_else(|| broken("the system text has no end"))?;
            own.clone_into(&mut system);
            user = text;
        }
        turns.push((true, user.to_owned()));
        let is_last = nth + 1 == sequences.len();
        let answer = match (answer.strip_suffix(" </s>"), is_last) {
            (Some(text), false) => text,
            (None, true) => answer,
            _ => return Err(broken("an answer has no end")),
        };
        let marks = ["<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"];
        if marks.iter().any(|mark| {
            [user, answer, &system]
                .iter()
                .any(|text| text.contains(mark))
        }) {
            return Err(broken("a turn has a mark in its text"));
        }
        if !answer.is_empty() {
            turns.push((false, answer.trim_start().to_owned()));
        }
    }
    request(body, "max_gen_len", &system, &turns)
}

/// Parses a prompt of Claude's text completions.
///
/// # Errors
/// `ValidationException` for a broken template.
pub fn claude(body: &Value) -> Result<Value, ServiceError> {
    let mut parts = prompt(body).split("\n\nHuman:");
    let system = parts.next().unwrap_or_default();
    let mut turns = Vec::new();
    let mut is_open = false;
    for part in parts {
        let (user, answer) = match part.split_once("\n\nAssistant:") {
            Some((user, answer)) => (user, Some(answer)),
            None => (part, None),
        };
        is_open = answer.is_some();
        turns.push((true, user.trim_start().to_owned()));
        let answer = answer.unwrap_or_default();
        if [user, answer]
            .iter()
            .any(|text| text.contains("Human:") || text.contains("Assistant:"))
        {
            return Err(broken("a turn has a mark in its text"));
        }
        if !answer.is_empty() {
            turns.push((false, answer.trim_start().to_owned()));
        }
    }
    if !is_open {
        return Err(broken("it must end with a turn of the assistant"));
    }
    let mut request = request(body, "max_tokens_to_sample", system, &turns)?;
    if body["stop_sequences"].is_array() {
        request["inferenceConfig"]["stopSequences"] = body["stop_sequences"].clone();
    }
    Ok(request)
}

/// Parses a prompt of Mistral.
///
/// # Errors
/// `ValidationException` for a broken template.
pub fn mistral(body: &Value) -> Result<Value, ServiceError> {
    let rest = prompt(body)
        .strip_prefix("<s>")
        .ok_or_else(|| broken("it has no beginning"))?;
    let mut parts = rest.split("[INST] ");
    if parts.next() != Some("") {
        return Err(broken("it must begin with an instruction"));
    }
    let parts: Vec<&str> = parts.collect();
    let mut turns = Vec::new();
    for (nth, part) in parts.iter().enumerate() {
        let (user, assistant) = part
            .split_once(" [/INST]")
            .ok_or_else(|| broken("an instruction has no end"))?;
        turns.push((true, user.to_owned()));
        let is_last = nth + 1 == parts.len();
        let assistant = match (assistant.strip_suffix("</s>"), is_last) {
            (Some(text), false) => text,
            (None, true) => assistant,
            _ => return Err(broken("an answer has no end")),
        };
        if ["<s>", "</s>", "[INST]", "[/INST]"]
            .iter()
            .any(|mark| assistant.contains(mark) || user.contains(mark))
        {
            return Err(broken("a turn has a mark in its text"));
        }
        if !assistant.is_empty() {
            turns.push((false, assistant.trim_start().to_owned()));
        }
    }
    request(body, "max_tokens", "", &turns)
}

/// Parses a prompt of DeepSeek R1.
///
/// # Errors
/// `ValidationException` for a broken template.
pub fn deepseek(body: &Value) -> Result<Value, ServiceError> {
    const USER: &str = "<｜User｜>";
    const ASSISTANT: &str = "<｜Assistant｜>";
    const END: &str = "<｜end▁of▁sentence｜>";
    let rest = prompt(body)
        .strip_prefix("<｜begin▁of▁sentence｜>")
        .and_then(|rest| rest.strip_suffix("<｜Assistant｜><think>\n"))
        .ok_or_else(|| broken("it has no beginning or no end"))?;
    let mut parts = rest.split(USER);
    let system = parts.next().unwrap_or_default();
    let mut turns = Vec::new();
    for part in parts {
        let (user, assistant) = part.split_once(ASSISTANT).unwrap_or((part, ""));
        turns.push((true, user.to_owned()));
        if !assistant.is_empty() {
            let text = assistant
                .strip_suffix(END)
                .ok_or_else(|| broken("an answer has no end"))?;
            turns.push((false, text.to_owned()));
        }
        if [ASSISTANT, "<think>", "</think>"]
            .iter()
            .any(|mark| user.contains(mark) || assistant.contains(mark))
        {
            return Err(broken("a turn has a mark in its text"));
        }
    }
    request(body, "max_tokens", system, &turns)
}
