//! Titan Text: a prompt of lines, each of which begins a turn.

use serde_json::{Value, json};

use super::Outcome;
use crate::simulator::{
    ServiceError,
    answer::{Answer, pieces},
    invoke::chat::replies::text,
};

const USER: &str = "User: ";
const BOT: &str = "Bot: ";

/// Returns the Converse request that means the same as the body.
///
/// # Errors
/// `ValidationException` for a prompt that does not follow the template.
pub fn converse(body: &Value) -> Result<Value, ServiceError> {
    let broken = |what: &str| {
        ServiceError::validation(format!("The prompt does not follow the template: {what}."))
    };
    let mut turns: Vec<(&str, String)> = Vec::new();
    let mut is_open = false;
    for line in body["inputText"].as_str().unwrap_or_default().split('\n') {
        if is_open {
            return Err(broken("the turn of the bot is open and not the last"));
        }
        let user = line.strip_prefix(USER).map(|text| ("user", text));
        let bot = line.strip_prefix(BOT).map(|text| ("assistant", text));
        match user.or(bot) {
            Some((role, text)) => turns.push((role, text.to_owned())),
            None if line == "Bot:" => is_open = true,
            None => match turns.last_mut() {
                Some((_, text)) => *text += &format!("\n{line}"),
                None => return Err(broken("it must begin with a turn of the user")),
            },
        }
    }
    if turns
        .iter()
        .any(|(_, text)| text.contains("User:") || text.contains("Bot:"))
    {
        return Err(broken("a turn has a mark in its text"));
    }
    let alternates = turns
        .iter()
        .enumerate()
        .all(|(nth, (role, _))| *role == if nth % 2 == 0 { "user" } else { "assistant" });
    if !alternates || is_open != (turns.len() % 2 == 1) {
        return Err(broken("turns must alternate, and the bot has the last one"));
    }
    let messages: Vec<Value> = turns
        .iter()
        .map(|(role, text)| json!({"role": role, "content": [{"text": text}]}))
        .collect();
    let own = &body["textGenerationConfig"];
    let mut config = json!({"maxTokens": own["maxTokenCount"]});
    if own["stopSequences"].is_array() {
        config["stopSequences"] = own["stopSequences"].clone();
    }
    Ok(json!({"messages": messages, "inferenceConfig": config}))
}

fn reason(answer: &Answer) -> &'static str {
    match answer.stop_reason {
        "max_tokens" => "LENGTH",
        "stop_sequence" => "STOP_CRITERIA_MET",
        _ => "FINISH",
    }
}

pub fn whole(outcome: &Outcome<'_>) -> Value {
    let answer = outcome.answer;
    json!({"inputTextTokenCount": answer.input_tokens, "results": [{
        "tokenCount": answer.output_tokens, "outputText": text(outcome), "completionReason": reason(answer)}]})
}

/// The events of a stream, and the index of the first that ends the message.
pub fn events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let answer = outcome.answer;
    let text = text(outcome);
    let mut events: Vec<Value> = pieces(&text)
        .map(|piece| {
            json!({"outputText": piece, "index": 0, "totalOutputTextTokenCount": null,
                   "completionReason": null, "inputTextTokenCount": null})
        })
        .collect();
    if let Some(first) = events.first_mut() {
        first["inputTextTokenCount"] = answer.input_tokens.into();
    }
    let end = events.len();
    events.push(json!({"outputText": "", "index": 0, "totalOutputTextTokenCount": answer.output_tokens,
                       "completionReason": reason(answer), "inputTextTokenCount": answer.input_tokens}));
    (events, end)
}
