//! Marengo: a vector for a text, billed as a query, or for an image, billed as an image.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{super::vectors::unit_vector, Answer};

/// Answers a valid body, flat as that of 2.7 or nested as that of 3.0.
pub fn answer(body: &Value) -> Answer {
    let kind = body["inputType"].as_str().unwrap_or_default();
    let (input, dimension) = match &body[kind] {
        Value::Object(_) => (&body[kind], 512),
        _ => (body, 1024),
    };
    let text = input["inputText"].as_str();
    let image = input["mediaSource"]["base64String"].as_str();
    let image = STANDARD.decode(image.unwrap_or_default());
    let (bytes, usage) = match text {
        Some(text) => (text.as_bytes().to_vec(), json!({"queries": 1})),
        None => (image.unwrap_or_default(), json!({"images": 1})),
    };
    Answer {
        reply: json!({"data": [{"embedding": unit_vector(&bytes, dimension)}]}),
        usage,
    }
}
