//! Pegasus: one prompt about one video, which is billed by its length.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::Outcome;
use crate::simulator::{
    ServiceError,
    answer::{Block, pieces},
};

/// The longest video, in seconds.
const HOUR: u64 = 3600;

/// Returns the Converse request that means the same as the body.
///
/// # Errors
/// `ValidationException` for a video that is too long.
pub fn converse(body: &Value) -> Result<Value, ServiceError> {
    if seconds(body) > HOUR {
        return Err(ServiceError::validation(
            "The video is longer than an hour.",
        ));
    }
    let mut request = json!({
        "messages": [{"role": "user", "content": [{"text": body["inputPrompt"]}]}],
        "inferenceConfig": {"maxTokens": body["maxOutputTokens"]},
    });
    let schema = &body["responseFormat"]["jsonSchema"];
    if schema.is_object() {
        request["outputConfig"] =
            json!({"textFormat": {"structure": {"jsonSchema": {"schema": schema.to_string()}}}});
    }
    Ok(request)
}

/// The length that is billed, in seconds: that of the first movie header. A video without one is as long as allowed.
pub fn seconds(body: &Value) -> u64 {
    let data = body["mediaSource"]["base64String"].as_str();
    let file = STANDARD.decode(data.unwrap_or_default());
    let file = file.unwrap_or_default();
    let number = |at: usize| {
        let bytes = file.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_be_bytes(bytes)))
    };
    let header = file.windows(4).position(|bytes| bytes == b"mvhd");
    let length = header.and_then(|at| {
        let scale = number(at + 16)?;
        (scale > 0).then_some(number(at + 20)?.div_ceil(scale))
    });
    length.filter(|length| *length > 0).unwrap_or(HOUR)
}

fn text(outcome: &Outcome<'_>) -> String {
    let texts = outcome
        .answer
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text(text) => Some(text.as_str()),
            _ => None,
        });
    texts.collect()
}

fn stop(outcome: &Outcome<'_>) -> &'static str {
    match outcome.answer.stop_reason {
        "max_tokens" => "length",
        _ => "stop",
    }
}

pub fn whole(outcome: &Outcome<'_>) -> Value {
    json!({"message": text(outcome), "finishReason": stop(outcome)})
}

/// The events of a stream, and the index of the first that ends the message.
pub fn events(outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
    let text = text(outcome);
    let mut events: Vec<Value> = pieces(&text)
        .map(|piece| json!({"message": piece}))
        .collect();
    let end = events.len();
    events.push(json!({"message": "", "finishReason": stop(outcome)}));
    (events, end)
}
