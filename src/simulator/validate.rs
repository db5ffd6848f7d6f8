//! Checks Converse requests: first against the service model, then by the rules that only error messages report.

use std::collections::HashSet;

use serde_json::Value;

use super::{ServiceError, guardrail, model};

/// Checks a Converse request.
///
/// # Errors
/// `ValidationException`, with the reason.
pub fn converse(request: &Value, stream: bool) -> Result<(), ServiceError> {
    let shape = if stream {
        "ConverseStreamRequest"
    } else {
        "ConverseRequest"
    };
    model::RUNTIME
        .check(shape, request, "")
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))?;
    conversation(request).map_err(ServiceError::validation)
}

fn conversation(request: &Value) -> Result<(), String> {
    let messages = request["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let Some(first) = messages.first() else {
        return Err(
            "A conversation must have at least one message. Try again with at least one message."
                .into(),
        );
    };
    if first["role"] != "user" {
        return Err("A conversation must start with a user message. Try again with a conversation that starts with a user message.".into());
    }
    for tool in request["toolConfig"]["tools"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if tool["toolSpec"].is_object()
            && tool["toolSpec"]["inputSchema"]["json"]["type"] != "object"
        {
            return Err(
                "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: object."
                    .into(),
            );
        }
    }
    for (index, block) in request["system"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        not_blank(block, &format!("system.{index}"))?;
    }
    let mut called: Vec<&str> = Vec::new();
    let mut seen = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        if index > 0 && messages[index - 1]["role"] == message["role"] {
            return Err("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.".into());
        }
        let blocks = message["content"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if blocks.is_empty() {
            return Err(format!(
                "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the content field and try again."
            ));
        }
        for (at, block) in blocks.iter().enumerate() {
            not_blank(block, &format!("messages.{index}.content.{at}"))?;
        }
        if message["role"] == "user" {
            results_answer(&called, blocks, index)?;
        }
        for id in blocks
            .iter()
            .filter_map(|block| block["toolUse"]["toolUseId"].as_str())
        {
            if !seen.insert(id) {
                return Err(format!(
                    "messages.{index}.content: `tool_use` ids must be unique"
                ));
            }
        }
        // Results of tools that the service runs are part of the same turn.
        let own = blocks
            .iter()
            .filter(|block| block["toolUse"]["type"] != "server_tool_use");
        called = own
            .filter_map(|block| block["toolUse"]["toolUseId"].as_str())
            .collect();
        if !called.is_empty() && message["role"] != "assistant" {
            return Err(format!(
                "messages.{index}.content: toolUse blocks are not allowed in a user turn"
            ));
        }
        if request["toolConfig"].is_null()
            && blocks
                .iter()
                .any(|b| !b["toolUse"].is_null() || !b["toolResult"].is_null())
        {
            return Err("The toolConfig field must be defined when using toolUse and toolResult content blocks.".into());
        }
    }
    guardrail::check(request)?;
    media(messages)?;
    cache_points(request, messages)?;
    trailing_space(messages.last())
}

/// Limits of images, documents and other media.
fn media(messages: &[Value]) -> Result<(), String> {
    let blocks = || {
        messages
            .iter()
            .flat_map(|message| message["content"].as_array().into_iter().flatten())
    };
    let count = |kind: &str| blocks().filter(|block| !block[kind].is_null()).count();
    if count("image") > 20 || count("document") > 5 {
        return Err("The number of images or documents in the request exceeds the limit.".into());
    }
    let mut names = HashSet::new();
    for document in blocks()
        .map(|block| &block["document"])
        .filter(|document| document.is_object())
    {
        let name = document["name"].as_str().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || " -()[]".contains(c);
        if name.contains("  ") || !name.chars().all(allowed) || !names.insert(name) {
            return Err("The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets, and must be unique.".into());
        }
    }
    for (index, message) in messages.iter().enumerate() {
        let has = |kind: &str| {
            message["content"]
                .as_array()
                .is_some_and(|b| b.iter().any(|b| !b[kind].is_null()))
        };
        if has("document") && !has("text") && !has("guardContent") {
            return Err(format!(
                "A document at messages.{index} requires a text block in the same message."
            ));
        }
        let media = ["image", "document", "video", "audio"]
            .iter()
            .any(|kind| has(kind));
        if media && message["role"] != "user" {
            return Err(format!(
                "messages.{index}: media are allowed in user turns only."
            ));
        }
    }
    Ok(())
}

/// At most four cache points, each after a block that can be cached, those of one hour first.
fn cache_points(request: &Value, messages: &[Value]) -> Result<(), String> {
    let lists = [&request["toolConfig"]["tools"], &request["system"]];
    let lists = lists
        .into_iter()
        .chain(messages.iter().map(|message| &message["content"]))
        .filter_map(Value::as_array);
    let (mut count, mut short) = (0, false);
    for list in lists {
        for (at, block) in list
            .iter()
            .enumerate()
            .filter(|(_, block)| block["cachePoint"].is_object())
        {
            count += 1;
            let before = at.checked_sub(1).map(|before| &list[before]);
            let fits = before.is_some_and(|before| {
                let text_document = before["document"]["format"]
                    .as_str()
                    .is_some_and(|format| format != "pdf");
                before["cachePoint"].is_null()
                    && before["reasoningContent"].is_null()
                    && !text_document
            });
            if !fits {
                return Err("A cache point cannot be inserted at this place.".into());
            }
            let hour = block["cachePoint"]["ttl"] == "1h";
            if hour && short {
                return Err("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block".into());
            }
            short |= !hour;
        }
    }
    match count > 4 {
        true => Err("A maximum of 4 blocks with cache_control may be provided.".into()),
        false => Ok(()),
    }
}

/// Models reject a prefill that ends in white space.
fn trailing_space(last: Option<&Value>) -> Result<(), String> {
    let text = last
        .filter(|message| message["role"] == "assistant")
        .and_then(|m| m["content"].as_array()?.last()?["text"].as_str());
    match text {
        Some(text) if text.trim_end() != text => {
            Err("messages: final assistant content cannot end with trailing whitespace".into())
        }
        _ => Ok(()),
    }
}

fn not_blank(block: &Value, at: &str) -> Result<(), String> {
    match block["text"].as_str() {
        Some(text) if text.trim().is_empty() => Err(format!(
            "The text field in the ContentBlock object at {at} is blank. Add text to the text field, and try again."
        )),
        _ => Ok(()),
    }
}

/// The results at the start of a turn must answer exactly the calls of the previous turn.
fn results_answer(called: &[&str], blocks: &[Value], index: usize) -> Result<(), String> {
    let results: Vec<&str> = blocks
        .iter()
        .filter_map(|block| block["toolResult"]["toolUseId"].as_str())
        .collect();
    if results.len() > called.len() {
        return Err(format!(
            "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of previous turn."
        ));
    }
    if let Some(missing) = called.iter().find(|id| !results.contains(id)) {
        return Err(format!(
            "Expected toolResult blocks at messages.{index}.content for the following Ids: {missing}"
        ));
    }
    let leading = blocks
        .iter()
        .take_while(|block| !block["toolResult"].is_null())
        .count();
    if leading < results.len() {
        return Err(format!(
            "messages.{index}.content: toolResult blocks must come first"
        ));
    }
    let blank = blocks
        .iter()
        .filter_map(|block| block["toolResult"]["content"].as_array())
        .find(|content| content.is_empty());
    if blank.is_some() {
        return Err(format!(
            "messages.{index}.content: a toolResult has no content"
        ));
    }
    Ok(())
}
