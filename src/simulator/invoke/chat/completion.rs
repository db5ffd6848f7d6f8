//! Completions of one prompt: Claude 2, Command and Jurassic-2.

use serde_json::{Value, json};

use super::Outcome;
use crate::simulator::{
    answer::{Answer, pieces},
    invoke::chat::replies::text,
};

/// Returns the Converse request for a prompt without turns.
pub fn converse(body: &Value, cap: &str, stops: &str) -> Value {
    let mut config = json!({"maxTokens": body[cap]});
    if body[stops].is_array() {
        config["stopSequences"] = body[stops].clone();
    }
    json!({"messages": [{"role": "user", "content": [{"text": body["prompt"]}]}], "inferenceConfig": config})
}

fn claude_end(answer: &Answer) -> (&'static str, &str) {
    match (answer.stop_reason, &answer.stop_sequence) {
        ("max_tokens", _) => ("max_tokens", ""),
        (_, Some(stop)) => ("stop_sequence", stop),
        // The model has begun the next turn.
        _ => ("stop_sequence", "\n\nHuman:"),
    }
}

pub fn claude(outcome: &Outcome<'_>) -> Value {
    let (reason, stop) = claude_end(outcome.answer);
    json!({"type": "completion", "completion": format!(" {}", text(outcome)), "stop_reason": reason, "stop": stop})
}

/// The events of a stream, and the index of the first that ends the message.
pub fn claude_events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let (reason, stop) = claude_end(outcome.answer);
    let event = |text: &str, reason: Value, stop: Value| json!({"type": "completion", "completion": text, "stop_reason": reason, "stop": stop});
    let text = text(outcome);
    let mut events = vec![event(" ", Value::Null, Value::Null)];
    events.extend(pieces(&text).map(|piece| event(piece, Value::Null, Value::Null)));
    let end = events.len();
    events.push(event("", reason.into(), stop.into()));
    (events, end)
}

fn command_reason(answer: &Answer) -> &'static str {
    match answer.stop_reason {
        "max_tokens" => "MAX_TOKENS",
        _ => "COMPLETE",
    }
}

pub fn command(outcome: &Outcome<'_>) -> Value {
    json!({"id": "simulated", "prompt": "", "generations": [
        {"id": "simulated", "text": format!(" {}", text(outcome)), "finish_reason": command_reason(outcome.answer)}]})
}

/// The events of a stream, and the index of the first that ends the message.
pub fn command_events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let text = text(outcome);
    let mut events: Vec<Value> = pieces(&text)
        .map(|piece| json!({"text": piece, "is_finished": false}))
        .collect();
    let end = events.len();
    events.push(json!({"text": "<EOS_TOKEN>", "is_finished": true, "finish_reason": command_reason(outcome.answer)}));
    (events, end)
}

pub fn jurassic(outcome: &Outcome<'_>) -> Value {
    let answer = outcome.answer;
    let end = match (answer.stop_reason, &answer.stop_sequence) {
        ("max_tokens", _) => json!({"reason": "length", "length": answer.output_tokens}),
        (_, Some(stop)) => json!({"reason": "stop", "sequence": stop}),
        _ => json!({"reason": "endoftext"}),
    };
    json!({"id": 1234, "prompt": {"text": "", "tokens": []}, "completions": [
        {"data": {"text": format!("\n{}", text(outcome)), "tokens": []}, "finishReason": end}]})
}
