//! Command R: a message, and the turns before it.

use serde_json::{Value, json};

use super::Outcome;
use crate::simulator::{
    answer::{Answer, pieces},
    invoke::chat::replies::text,
};

/// Returns the Converse request that means the same as the body.
pub fn converse(body: &Value) -> Value {
    let turn = |role: &str, text: &Value| json!({"role": role, "content": [{"text": text}]});
    let history = body["chat_history"].as_array().into_iter().flatten();
    let mut messages: Vec<Value> = history
        .map(|own| match own["role"].as_str() {
            Some("CHATBOT") => turn("assistant", &own["message"]),
            _ => turn("user", &own["message"]),
        })
        .collect();
    messages.push(turn("user", &body["message"]));
    let mut request = json!({
        "messages": messages,
        "inferenceConfig": {"maxTokens": body["max_tokens"]},
    });
    if body["preamble"].is_string() {
        request["system"] = json!([{"text": body["preamble"]}]);
    }
    if body["stop_sequences"].is_array() {
        request["inferenceConfig"]["stopSequences"] = body["stop_sequences"].clone();
    }
    request
}

fn reason(answer: &Answer) -> &'static str {
    match answer.stop_reason {
        "max_tokens" => "MAX_TOKENS",
        _ => "COMPLETE",
    }
}

pub fn whole(outcome: &Outcome<'_>) -> Value {
    json!({"response_id": "simulated", "generation_id": "simulated", "text": text(outcome),
           "chat_history": [], "finish_reason": reason(outcome.answer)})
}

/// The events of a stream, and the index of the first that ends the message.
pub fn events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let text = text(outcome);
    let mut events = vec![
        json!({"event_type": "stream-start", "is_finished": false, "generation_id": "simulated"}),
    ];
    events.extend(pieces(&text).map(
        |piece| json!({"event_type": "text-generation", "is_finished": false, "text": piece}),
    ));
    let end = events.len();
    events.push(json!({"event_type": "stream-end", "is_finished": true,
                       "finish_reason": reason(outcome.answer), "response": whole(outcome)}));
    (events, end)
}
