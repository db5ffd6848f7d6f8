//! `POST /model/{id}/count-tokens`: counts the tokens of a Converse request as Converse itself does.

use axum::response::Response;
use serde_json::{Value, json};

use super::{ServiceError, answer, fault::Plan, model, reply, validate_parsed};

/// The models that the service counts for: Bedrock user guide, count tokens; a probe of 2026-06-03 for Claude 4.5.
const COUNTED: [&str; 6] = [
    "anthropic.claude-3-5-",
    "anthropic.claude-3-7-",
    "anthropic.claude-sonnet-4-20250514",
    "anthropic.claude-opus-4-20250514",
    "anthropic.claude-sonnet-4-5-",
    "anthropic.claude-haiku-4-5-",
];

/// Answers a CountTokens request.
///
/// # Errors
/// The service's error for an invalid request, for an id that is not one of a foundation model, or the one that
/// `[simulate …]` asks for.
pub async fn count(model_id: &str, request: &Value) -> Result<Response, ServiceError> {
    model::RUNTIME
        .check("CountTokensRequest", request, "")
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))?;
    if !COUNTED.iter().any(|prefix| model_id.starts_with(prefix)) {
        let text = "The provided model doesn't support counting tokens.";
        return Err(ServiceError::validation(text));
    }
    let converse = &request["input"]["converse"];
    if converse.is_null() {
        let text = "The simulator counts only the tokens of Converse requests.";
        return Err(ServiceError::validation(text));
    }
    validate_parsed(model_id, converse, false)?;
    let plan = Plan::of(converse);
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    plan.before_reply().await;
    let tokens = answer::answer(converse, &plan).input_tokens;
    Ok(reply::json(&json!({"inputTokens": tokens})))
}
