//! Anthropic's Messages API: `POST /v1/messages` and `POST /v1/messages/count_tokens`.

mod betas;
mod binding;
mod blocks;
mod count;
mod errors;
mod money;
mod names;
mod recordings;
mod replies;
mod seals;
mod tool_changes;

use serde_json::{Value, json};

use crate::support::{Gateway, KEY, Reply, endpoints::MESSAGES};

/// A request with one user message.
fn message(text: &str) -> Value {
    json!({"model": "claude", "max_tokens": 500, "messages": [{"role": "user", "content": text}]})
}

/// Sends a request with the test's key.
async fn send(gateway: &Gateway, request: &Value) -> Reply {
    gateway.ask(MESSAGES, KEY, request).await
}

/// Returns the last body that Bedrock received.
fn last_sent(gateway: &Gateway) -> Value {
    gateway.bodies().pop().unwrap()
}

/// Returns the events of a stream as their names and data. Checks that each name is the `type` of the data.
pub fn events(reply: &Reply) -> Vec<Value> {
    let events = reply.text().split_terminator("\n\n");
    let event = |text: &str| {
        let (name, data) = text.split_once('\n').expect("an event has a name and data");
        let name = name.strip_prefix("event: ").expect("the name comes first");
        let data = data.strip_prefix("data: ").expect("the data follow");
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    events.map(event).collect()
}

/// Returns the types of events.
fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

/// Joins the events of a stream into a message, as the SDKs do.
pub fn joined(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut arguments = String::new();
    for event in events {
        let index = event["index"].as_u64().unwrap_or_default() as usize;
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(content.len(), index, "indexes are dense");
                content.push(event["content_block"].clone());
                arguments.clear();
            }
            "content_block_delta" => {
                let block = &mut message["content"][index];
                let delta = &event["delta"];
                let mut append = |member: &str| {
                    let text = format!(
                        "{}{}",
                        block[member].as_str().unwrap(),
                        delta[member].as_str().unwrap()
                    );
                    block[member] = text.into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append("text"),
                    "thinking_delta" => append("thinking"),
                    "signature_delta" => append("signature"),
                    "input_json_delta" => {
                        arguments.push_str(delta["partial_json"].as_str().unwrap())
                    }
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" if !arguments.is_empty() => {
                message["content"][index]["input"] = serde_json::from_str(&arguments).unwrap();
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["stop_sequence"] = event["delta"]["stop_sequence"].clone();
                message["usage"] = event["usage"].clone();
            }
            _ => {}
        }
    }
    message
}
