//! `POST /v1/embeddings`.

mod limits;
mod models;
mod money;
mod observed;
mod order;
mod requests;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::Reply;

/// Bedrock asks for one text a request of Titan's, and for up to 96 of Cohere's. A token of `dear`
/// costs 2000 nano-dollars.
const SETTINGS: &str = r#"
    [models.titan]
    target = "amazon.titan-embed-text-v2:0"
    [models.cohere]
    target = "cohere.embed-v4:0"
    [models.cohere3]
    target = "cohere.embed-english-v3"
    [models.picky]
    target = "amazon.titan-embed-text-v2:0"
    dropped_parameters = "refuse"
    [models.dear]
    target = "amazon.titan-embed-text-v2:0"
    price = { input = 2.0, output = 0.0 }
    [models.retried]
    target = "amazon.titan-embed-text-v2:0"
    price = { input = 2.0, output = 0.0 }
    retry = { attempts = 3, base = "1ms" }
"#;

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn request(model: &str, input: impl Into<Value>) -> Value {
    json!({"model": model, "input": input.into()})
}

/// Checks the shape of a reply, and returns its vectors in the order of `index`.
fn vectors(reply: &Reply) -> Vec<Vec<f32>> {
    assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.text());
    let list = reply.json();
    assert_eq!(list["object"], "list");
    let data = list["data"].as_array().unwrap();
    for (index, one) in data.iter().enumerate() {
        assert_eq!(one["object"], "embedding");
        assert_eq!(one["index"], index);
    }
    data.iter().map(|one| vector(&one["embedding"])).collect()
}

/// A vector in either format: numbers, or the Base64 of little-endian 32-bit floats.
fn vector(embedding: &Value) -> Vec<f32> {
    match embedding {
        Value::String(packed) => {
            let bytes = STANDARD.decode(packed).unwrap();
            let (numbers, rest) = bytes.as_chunks::<4>();
            assert!(rest.is_empty());
            numbers.iter().copied().map(f32::from_le_bytes).collect()
        }
        numbers => serde_json::from_value(numbers.clone()).unwrap(),
    }
}
