//! Models of InvokeModel that are billed by a unit of their own: reranking models by the query, image models by the image,
//! Marengo by the request.
//! `families.json` says what a request may hold.

mod images;
mod marengo;
mod rerank;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::body;
use crate::simulator::{ServiceError, families};

#[derive(Deserialize)]
struct File {
    families: Vec<Family>,
}

/// Models that share one request body.
#[derive(Deserialize)]
struct Family {
    kind: Kind,
    models: Vec<String>,
    /// A JSON schema.
    body: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Rerank,
    Stability,
    AmazonImage,
    Marengo,
}

static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
    // The file is part of the program: a test reads it.
    serde_json::from_str::<File>(include_str!("families.json"))
        .map(|file| file.families)
        .unwrap_or_default()
});

/// A reply, and what it bills in the form of `Simulator::bill`.
pub struct Answer {
    pub reply: Value,
    pub usage: Value,
}

/// Computes the reply of a model. `None` if the model is billed by tokens.
///
/// # Errors
/// `ValidationException` if the model does not accept `body`.
pub fn answer(model_id: &str, body: &Value) -> Option<Result<Answer, ServiceError>> {
    let id = families::base(model_id);
    if let Some(error) = needs_profile(model_id, id) {
        return Some(Err(error));
    }
    let is_own = |family: &&Family| family.models.iter().any(|model| model == id);
    let family = FAMILIES.iter().find(is_own)?;
    let violations = body::violations(&family.body, body);
    Some(match violations.is_empty() {
        true => Ok(match family.kind {
            Kind::Rerank => rerank::answer(body),
            Kind::Stability => images::stability(body),
            Kind::AmazonImage => images::amazon(body),
            Kind::Marengo => marengo::answer(body),
        }),
        false => Err(ServiceError::validation(format!(
            "Malformed input request: {}, please reformat your input and try again.",
            violations.concat()
        ))),
    })
}

/// The error for a bare id of a model that only inference profiles serve: those of Stability AI that edit images, and
/// Marengo 2.7. Source: Bedrock user guide, Region compatibility.
fn needs_profile(model_id: &str, id: &str) -> Option<ServiceError> {
    let generates = ["core", "ultra"]
        .iter()
        .any(|name| id.starts_with(&format!("stability.stable-image-{name}-")));
    let edits = id.starts_with("stability.stable-") && !generates;
    let embeds = id == "twelvelabs.marengo-embed-2-7-v1:0";
    (model_id == id && (edits || embeds)).then(|| {
        ServiceError::validation(format!(
            "Invocation of model ID {id} with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_parses() {
        assert!(!FAMILIES.is_empty());
    }
}
