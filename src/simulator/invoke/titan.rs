//! Amazon Titan: one text, or a text and an image, for one vector.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Embeddings, Family, Kind, tokens,
    vectors::{normalized, unit_vector},
};
use crate::simulator::ServiceError;

/// The length of vectors that are not normalized.
const LENGTH: f32 = 16.0;

/// # Errors
/// `ValidationException` if the text is too long; Titan does not truncate.
pub fn embed(family: &Family, body: &Value) -> Result<Embeddings, ServiceError> {
    let text = body["inputText"].as_str();
    let input_tokens = text.map_or(0, tokens);
    if input_tokens > family.max_tokens {
        return Err(ServiceError::validation(format!(
            "400 Bad Request: Too many input tokens. Max input tokens: {}, request input token count: {input_tokens} ",
            family.max_tokens
        )));
    }
    let asked = body["dimensions"]
        .as_u64()
        .or_else(|| body["embeddingConfig"]["outputEmbeddingLength"].as_u64());
    let dimension = family.dimension_or(asked);
    let image = body["inputImage"]
        .as_str()
        .and_then(|image| STANDARD.decode(image).ok());
    let text_vector = text.map(|text| unit_vector(text.as_bytes(), dimension));
    let image_vector = image.map(|image| unit_vector(&image, dimension));
    let mut vector = match (text_vector, image_vector) {
        (Some(text), Some(image)) => {
            normalized(text.iter().zip(&image).map(|(a, b)| a + b).collect())
        }
        (text, image) => text.or(image).unwrap_or_default(),
    };
    if family.kind == Kind::TitanTextV1 || body["normalize"] == false {
        vector.iter_mut().for_each(|number| *number *= LENGTH);
    }
    let mut reply = json!({"embedding": vector, "inputTextTokenCount": input_tokens});
    match family.kind {
        Kind::TitanTextV2 => reply["embeddingsByType"] = by_type(&vector, body),
        Kind::TitanMultimodal => reply["message"] = Value::Null,
        _ => {}
    }
    Ok(Embeddings {
        reply,
        input_tokens,
    })
}

/// One bit a number for `binary`, unlike Cohere's.
fn by_type(vector: &[f32], body: &Value) -> Value {
    let default = [Value::from("float")];
    let types = body["embeddingTypes"]
        .as_array()
        .map_or(&default[..], Vec::as_slice);
    let vectors = types
        .iter()
        .filter_map(Value::as_str)
        .map(|embedding_type| {
            let vector = match embedding_type {
                "binary" => json!(
                    vector
                        .iter()
                        .map(|number| u8::from(*number > 0.0))
                        .collect::<Vec<_>>()
                ),
                _ => json!(vector),
            };
            (embedding_type.to_owned(), vector)
        });
    Value::Object(vectors.collect())
}
