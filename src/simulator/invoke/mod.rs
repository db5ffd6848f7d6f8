//! `POST /model/{modelId}/invoke`, and `invoke-with-response-stream` for chats. Every family has a body of its own:
//! `families.json` says what a request may hold, and a module per vendor computes the reply.

pub mod body;
mod by_unit;
pub mod chat;
mod cohere;
mod nova;
mod titan;
mod vectors;

pub use chat::validate as validate_chat;

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use serde::Deserialize;
use serde_json::Value;

use super::{ServiceError, Simulator, answer::pieces, families, fault::Plan, model, reply};

#[derive(Deserialize)]
struct File {
    families: Vec<Family>,
}

/// Models that share one request body.
#[derive(Deserialize)]
pub struct Family {
    kind: Kind,
    models: Vec<String>,
    dimension: usize,
    max_tokens: usize,
    /// A JSON schema.
    body: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    TitanTextV1,
    TitanTextV2,
    TitanMultimodal,
    Cohere,
    Nova,
}

static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
    // The file is part of the program: a test reads it.
    serde_json::from_str::<File>(include_str!("families.json"))
        .map(|file| file.families)
        .unwrap_or_default()
});

/// What a model returns, and what it bills.
#[derive(Debug)]
pub struct Embeddings {
    pub reply: Value,
    pub input_tokens: usize,
}

impl Family {
    /// # Errors
    /// `ValidationException` if InvokeModel is not simulated for this model.
    fn of(model_id: &str) -> Result<&'static Self, ServiceError> {
        let id = families::base(model_id);
        let is_own = |family: &&Self| family.models.iter().any(|model| id.starts_with(model));
        FAMILIES.iter().find(is_own).ok_or_else(|| {
            ServiceError::validation(format!(
                "The simulator serves InvokeModel for chats and for the embedding models of Titan, Nova and Cohere only; '{model_id}' is none of them."
            ))
        })
    }

    fn dimension_or(&self, asked: Option<u64>) -> usize {
        asked
            .and_then(|asked| usize::try_from(asked).ok())
            .unwrap_or(self.dimension)
    }

    fn is_cohere_v3(&self) -> bool {
        self.models.iter().any(|model| model.ends_with("-v3"))
    }
}

/// Computes the reply of an embedding model.
///
/// # Errors
/// `ValidationException` if the model does not accept `body`.
pub fn embed(model_id: &str, body: &Value) -> Result<Embeddings, ServiceError> {
    let family = Family::of(model_id)?;
    let violations = body::violations(&family.body, body);
    if !violations.is_empty() {
        return Err(ServiceError::validation(format!(
            "Malformed input request: {}, please reformat your input and try again.",
            violations.concat()
        )));
    }
    match family.kind {
        Kind::TitanTextV1 | Kind::TitanTextV2 | Kind::TitanMultimodal => titan::embed(family, body),
        Kind::Cohere => cohere::embed(family, body),
        Kind::Nova => nova::embed(family, body),
    }
}

/// Answers one request.
///
/// # Errors
/// The service's error for an invalid request, or the fault that a text asks for.
pub async fn invoke(
    simulator: &Simulator,
    model_id: &str,
    headers: &HeaderMap,
    body: &[u8],
    stream: bool,
) -> Result<Response, ServiceError> {
    check_media_types(headers)?;
    let metadata = request_metadata(headers)?;
    let terms = terms(headers)?;
    let body: Value = serde_json::from_slice(body).map_err(|_| {
        ServiceError::validation(
            "Malformed input request, please reformat your input and try again.",
        )
    })?;
    // The ARN of an application inference profile does not name its model.
    let model_arn = simulator.described(model_id);
    let base = model_arn.as_deref().unwrap_or(model_id);
    if let Some(family) = chat::ChatFamily::of_body(base, &body) {
        let asked = chat::Asked {
            model_id,
            headers,
            body,
            metadata,
            stream,
        };
        let mut response = chat::answer(simulator, family, asked).await?;
        response.headers_mut().extend(terms);
        return Ok(response);
    }
    if stream {
        return Err(ServiceError::validation(
            "The model is unsupported for streaming.",
        ));
    }
    let (answer, usage) = match by_unit::answer(base, &body) {
        Some(answer) => answer.map(|answer| (answer.reply, answer.usage))?,
        None => {
            let embeddings = embed(base, &body)?;
            let usage = serde_json::json!({"inputTokens": embeddings.input_tokens});
            (embeddings.reply, usage)
        }
    };
    let plan = Plan::from_texts(strings(&body));
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    let input_tokens = usage["inputTokens"].as_u64().unwrap_or(0);
    simulator.bill("InvokeModel", model_id, &metadata, &usage);
    plan.before_reply().await;
    let mut response = reply::whole_body(&answer, &plan);
    let counts = [
        ("x-amzn-bedrock-input-token-count", input_tokens),
        ("x-amzn-bedrock-output-token-count", 0),
        ("x-amzn-bedrock-invocation-latency", 1),
    ];
    for (name, count) in counts {
        response
            .headers_mut()
            .insert(name, HeaderValue::from(count));
    }
    response.headers_mut().extend(terms);
    Ok(response)
}

/// The headers that the reply echoes.
///
/// # Errors
/// `ValidationException` if a value is not in the service model.
fn terms(headers: &HeaderMap) -> Result<HeaderMap, ServiceError> {
    let shapes = [
        ("x-amzn-bedrock-service-tier", "ServiceTierType"),
        (
            "x-amzn-bedrock-performanceconfig-latency",
            "PerformanceConfigLatency",
        ),
    ];
    let mut terms = HeaderMap::new();
    for (name, shape) in shapes {
        if let Some(value) = headers.get(name) {
            check_shape(shape, &value.to_str().unwrap_or_default().into(), name)?;
            terms.insert(name, value.clone());
        }
    }
    Ok(terms)
}

fn check_shape(shape: &str, value: &Value, path: &str) -> Result<(), ServiceError> {
    model::RUNTIME
        .check(shape, value, path)
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))
}

/// The SDKs send `application/octet-stream` if the caller names no content type.
fn check_media_types(headers: &HeaderMap) -> Result<(), ServiceError> {
    let allowed = [
        (
            "content-type",
            &["application/json", "application/octet-stream"],
        ),
        ("accept", &["application/json", "*/*"]),
    ];
    for (name, allowed) in allowed {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        if value.is_some_and(|value| !allowed.contains(&value)) {
            return Err(ServiceError::validation(format!(
                "The {name} '{}' is not supported by this model.",
                value.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

fn request_metadata(headers: &HeaderMap) -> Result<Value, ServiceError> {
    let Some(header) = headers.get("x-amzn-bedrock-request-metadata") else {
        return Ok(Value::Null);
    };
    let metadata = serde_json::from_slice(header.as_bytes()).map_err(|_| {
        ServiceError::validation("The request metadata is not a JSON object of strings.")
    })?;
    check_shape("RequestMetadata", &metadata, "requestMetadata")?;
    Ok(metadata)
}

/// Every string of a body. Faults are read from all of them, because base64 cannot hold one.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn tokens(text: &str) -> usize {
    pieces(text).count()
}

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod tests;
