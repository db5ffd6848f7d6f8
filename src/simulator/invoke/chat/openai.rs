//! OpenAI's chat completions as the body of a model, and Mistral's variant.

use serde_json::{Value, json};

use super::Outcome;
use crate::simulator::{
    ServiceError,
    answer::{Block, pieces},
};

/// Returns the Converse request for a body.
///
/// # Errors
/// `ValidationException` for a message that the format does not allow.
pub fn converse(body: &Value) -> Result<Value, ServiceError> {
    let mut system = Vec::new();
    let mut messages: Vec<Value> = Vec::new();
    let mut calls: Vec<Value> = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let role = message["role"].as_str().unwrap_or_default();
        let mut content = content(&message["content"])?;
        match role {
            "system" => {
                system.append(&mut content);
                continue;
            }
            "tool" => {
                if !calls.contains(&message["tool_call_id"]) {
                    return Err(ServiceError::validation(
                        "messages with role 'tool' must answer a preceding call",
                    ));
                }
                content = vec![
                    json!({"toolResult": {"toolUseId": message["tool_call_id"], "content": content}}),
                ];
            }
            "assistant" => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    calls.push(call["id"].clone());
                    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
                    let input: Value = serde_json::from_str(arguments).map_err(|_| {
                        ServiceError::validation("the arguments of a call are not JSON")
                    })?;
                    content.push(json!({"toolUse": {"toolUseId": call["id"], "name": call["function"]["name"], "input": input}}));
                }
            }
            _ => {}
        }
        if content.is_empty() {
            return Err(ServiceError::validation("a message has no content"));
        }
        let role = if role == "tool" { "user" } else { role };
        match messages.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(last) = last["content"].as_array_mut() {
                    last.append(&mut content);
                }
            }
            _ => messages.push(json!({"role": role, "content": content})),
        }
    }
    let cap = body.get("max_completion_tokens").or(body.get("max_tokens"));
    let mut request = json!({
        "messages": messages, "system": system,
        "inferenceConfig": {"maxTokens": cap},
        "additionalModelRequestFields": {"reasoning_effort": body["reasoning_effort"]},
    });
    if !body["stop"].is_null() {
        request["inferenceConfig"]["stopSequences"] = body["stop"].clone();
    }
    if let Some(tools) = body["tools"].as_array() {
        let tools: Vec<Value> = tools
            .iter()
            .map(|tool| &tool["function"])
            .map(|tool| json!({"toolSpec": {"name": tool["name"], "description": tool["description"], "inputSchema": {"json": tool["parameters"]}}}))
            .collect();
        request["toolConfig"] = json!({"tools": tools});
        match &body["tool_choice"] {
            Value::String(mode) if mode == "required" || mode == "any" => {
                request["toolConfig"]["toolChoice"] = json!({"any": {}});
            }
            Value::Object(choice) => {
                request["toolConfig"]["toolChoice"] =
                    json!({"tool": {"name": choice["function"]["name"]}});
            }
            _ => {}
        }
    }
    let schema = &body["response_format"]["json_schema"]["schema"];
    if schema.is_object() {
        request["outputConfig"] =
            json!({"textFormat": {"structure": {"jsonSchema": {"schema": schema.to_string()}}}});
    }
    Ok(request)
}

fn content(content: &Value) -> Result<Vec<Value>, ServiceError> {
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![json!({"text": text})]),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match part["type"].as_str() {
                Some("text") => Ok(json!({"text": part["text"]})),
                Some("image_url")
                    if part["image_url"]["url"]
                        .as_str()
                        .is_some_and(|url| url.starts_with("data:image/")) =>
                {
                    Ok(json!({"image": {"format": "png", "source": {"bytes": ""}}}))
                }
                _ => Err(ServiceError::validation("a part is not supported")),
            })
            .collect(),
        _ => Err(ServiceError::validation("content has the wrong type")),
    }
}

fn stop(outcome: &Outcome<'_>) -> &'static str {
    match outcome.answer.stop_reason {
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        _ => "stop",
    }
}

/// The text, with reasoning inline, and the calls.
fn parts(outcome: &Outcome<'_>) -> (String, Vec<Value>) {
    let (mut text, mut calls) = (String::new(), Vec::new());
    for block in &outcome.answer.blocks {
        match block {
            Block::Text(more) | Block::Cited { text: more, .. } => text.push_str(more),
            Block::Reasoning { text: more, .. } if outcome.reasons => {
                text.push_str(&format!("<reasoning>{more}</reasoning>"));
            }
            Block::ToolUse { id, name, input } => calls.push(json!({"id": id, "type": "function",
                "function": {"name": name, "arguments": input.to_string()}})),
            _ => {}
        }
    }
    (text, calls)
}

fn usage(outcome: &Outcome<'_>) -> Value {
    let (input, output) = (outcome.answer.input_tokens, outcome.answer.output_tokens);
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

/// The log probabilities of a text, or null if they were not asked for.
fn logprobs(outcome: &Outcome<'_>, text: &str) -> Value {
    let Some(alternatives) = outcome.logprobs else {
        return Value::Null;
    };
    let entry = |token: &str| json!({"token": token, "logprob": -0.07903262227773666, "bytes": token.as_bytes()});
    let entries = pieces(text).map(|token| {
        let mut own = entry(token);
        own["top_logprobs"] = (0..alternatives).map(|_| entry(token)).collect();
        own
    });
    json!({"content": entries.collect::<Vec<_>>()})
}

/// A whole reply. `reason` is the member of a choice for its end.
pub fn whole(outcome: &Outcome<'_>, reason: &str) -> Value {
    let (text, calls) = parts(outcome);
    let logprobs = logprobs(outcome, &text);
    let mut message = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let mut reply = json!({"id": "chatcmpl-simulated", "object": "chat.completion",
        "choices": [{"index": 0, "message": message, reason: stop(outcome), "logprobs": logprobs}]});
    if reason == "finish_reason" {
        reply["usage"] = usage(outcome);
    }
    reply
}

/// The events of a stream. `member` is that of a choice for its content.
pub fn events(outcome: &Outcome<'_>, member: &str, reason: &str) -> (Vec<Value>, usize) {
    let (text, calls) = parts(outcome);
    let choice = |content: Value, stop: Value| {
        json!({"id": "chatcmpl-simulated", "object": "chat.completion.chunk",
               "choices": [{"index": 0, member: content, reason: stop}]})
    };
    let mut events: Vec<Value> = pieces(&text)
        .map(|piece| {
            let mut event = choice(json!({"role": "assistant", "content": piece}), Value::Null);
            event["choices"][0]["logprobs"] = logprobs(outcome, piece);
            event
        })
        .collect();
    for (index, call) in calls.iter().enumerate() {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let mut first = call.clone();
        first["index"] = index.into();
        first["function"]["arguments"] = "".into();
        events.push(choice(json!({"tool_calls": [first]}), Value::Null));
        let rest = json!({"index": index, "function": {"arguments": arguments}});
        events.push(choice(json!({"tool_calls": [rest]}), Value::Null));
    }
    let end = events.len();
    events.push(choice(json!({"content": ""}), stop(outcome).into()));
    if reason == "finish_reason" {
        events.push(json!({"id": "chatcmpl-simulated", "choices": [], "usage": usage(outcome)}));
    }
    (events, end)
}
