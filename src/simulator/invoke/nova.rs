//! Amazon Nova Multimodal Embeddings: one text or image, for one vector.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Embeddings, Family, tokens, vectors::unit_vector};
use crate::simulator::{ServiceError, answer::pieces};

/// # Errors
/// `ValidationException` if the text is too long and must not be truncated.
pub fn embed(family: &Family, body: &Value) -> Result<Embeddings, ServiceError> {
    let params = &body["singleEmbeddingParams"];
    let dimension = family.dimension_or(params["embeddingDimension"].as_u64());
    let Some(text) = params["text"]["value"].as_str() else {
        let image = params["image"]["source"]["bytes"]
            .as_str()
            .unwrap_or_default();
        let vector = unit_vector(&STANDARD.decode(image).unwrap_or_default(), dimension);
        return Ok(Embeddings {
            reply: json!({"embeddings": [{"embeddingType": "IMAGE", "embedding": vector}]}),
            input_tokens: 0,
        });
    };
    let count = tokens(text);
    let mut kept = text.to_owned();
    match params["text"]["truncationMode"].as_str() {
        _ if count <= family.max_tokens => {}
        Some("END") => kept = pieces(text).take(family.max_tokens).collect(),
        Some("START") => kept = pieces(text).skip(count - family.max_tokens).collect(),
        _ => {
            return Err(ServiceError::validation(
                "Input is too long for requested model.",
            ));
        }
    }
    let mut embedding =
        json!({"embeddingType": "TEXT", "embedding": unit_vector(kept.as_bytes(), dimension)});
    if kept.len() < text.len() {
        embedding["truncatedCharLength"] = kept.chars().count().into();
    }
    Ok(Embeddings {
        reply: json!({"embeddings": [embedding]}),
        input_tokens: count.min(family.max_tokens),
    })
}
