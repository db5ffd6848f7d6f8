//! What the service refuses: first what its model says, then the rules that it only tells in error messages.

use std::collections::HashSet;

use serde_json::Value;

use super::{ServiceError, model};

/// # Errors
/// `ValidationException`, with the reason.
pub fn converse(request: &Value, stream: bool) -> Result<(), ServiceError> {
    let shape = if stream { "ConverseStreamRequest" } else { "ConverseRequest" };
    model::check(shape, request, "")
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))?;
    conversation(request).map_err(ServiceError::validation)
}

fn conversation(request: &Value) -> Result<(), String> {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(first) = messages.first() else {
        return Err("A conversation must have at least one message. Try again with at least one message.".into());
    };
    if first["role"] != "user" {
        return Err("A conversation must start with a user message. Try again with a conversation that starts with a user message.".into());
    }
    for tool in request["toolConfig"]["tools"].as_array().into_iter().flatten() {
        if tool["toolSpec"]["inputSchema"]["json"]["type"] != "object" {
            return Err(
                "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: object."
                    .into(),
            );
        }
    }
    for (index, block) in request["system"].as_array().into_iter().flatten().enumerate() {
        not_blank(block, &format!("system.{index}"))?;
    }
    let mut called: Vec<&str> = Vec::new();
    let mut seen = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        if index > 0 && messages[index - 1]["role"] == message["role"] {
            return Err("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.".into());
        }
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        if blocks.is_empty() {
            return Err(format!(
                "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the content field and try again."
            ));
        }
        for (at, block) in blocks.iter().enumerate() {
            not_blank(block, &format!("messages.{index}.content.{at}"))?;
        }
        results_answer(&called, blocks, index)?;
        for id in blocks.iter().filter_map(|block| block["toolUse"]["toolUseId"].as_str()) {
            if !seen.insert(id) {
                return Err(format!("messages.{index}.content: `tool_use` ids must be unique"));
            }
        }
        called = blocks.iter().filter_map(|block| block["toolUse"]["toolUseId"].as_str()).collect();
        if !called.is_empty() && message["role"] != "assistant" {
            return Err(format!("messages.{index}.content: a toolUse block stands in a turn of role user"));
        }
        if request["toolConfig"].is_null()
            && blocks.iter().any(|b| !b["toolUse"].is_null() || !b["toolResult"].is_null())
        {
            return Err("The toolConfig field must be defined when using toolUse and toolResult content blocks.".into());
        }
    }
    trailing_space(messages.last())
}

/// A prefill that ends in white space is refused by the models.
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

/// Every call of the turn before is answered here, first, and nothing else is.
fn results_answer(called: &[&str], blocks: &[Value], index: usize) -> Result<(), String> {
    let results: Vec<&str> = blocks.iter().filter_map(|block| block["toolResult"]["toolUseId"].as_str()).collect();
    if results.len() > called.len() {
        return Err(format!(
            "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of previous turn."
        ));
    }
    if let Some(missing) = called.iter().find(|id| !results.contains(id)) {
        return Err(format!("Expected toolResult blocks at messages.{index}.content for the following Ids: {missing}"));
    }
    let leading = blocks.iter().take_while(|block| !block["toolResult"].is_null()).count();
    if leading < results.len() {
        return Err(format!("messages.{index}.content: toolResult blocks must come first"));
    }
    let blank =
        blocks.iter().filter_map(|block| block["toolResult"]["content"].as_array()).find(|content| content.is_empty());
    if blank.is_some() {
        return Err(format!("messages.{index}.content: a toolResult has no content"));
    }
    Ok(())
}
