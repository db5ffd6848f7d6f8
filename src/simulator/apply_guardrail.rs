//! `POST /guardrail/{id}/version/{version}/apply`. Every id exists, except [`MISSING`].

use axum::{
    http::{Method, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    ServiceError, Simulator, escapes,
    fault::Plan,
    guardrail::{judge, text_of, usage},
    model, reply,
};

const MISSING: &str = "missing000";

/// The path of a guardrail in an ApplyGuardrail request: `id/version/version`.
pub fn route(method: &Method, uri: &Uri) -> Option<String> {
    let path = uri
        .path()
        .strip_prefix("/guardrail/")
        .filter(|_| method == Method::POST)?;
    escapes::percent_decode(path.strip_suffix("/apply")?)
}

/// Answers an ApplyGuardrail request.
///
/// # Errors
/// The service's error for an invalid request, or the one that `[simulate apply …]` in a text asks for.
pub async fn apply(
    simulator: &Simulator,
    path: &str,
    request: &Value,
) -> Result<Response, ServiceError> {
    let (id, version) = path.rsplit_once("/version/").unwrap_or_default();
    let mut whole = request.clone();
    whole["guardrailIdentifier"] = id.into();
    whole["guardrailVersion"] = version.into();
    model::RUNTIME
        .check("ApplyGuardrailRequest", &whole, "")
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))?;
    let content: Vec<&Value> = request["content"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let texts: Vec<&Value> = content
        .iter()
        .map(|block| &block["text"])
        .filter(|text| text.is_object())
        .collect();
    if content.is_empty() || texts.iter().any(|text| text_of(text).trim().is_empty()) {
        return Err(ServiceError::validation("The content is empty."));
    }
    if id == MISSING {
        return Err(ServiceError {
            name: "ResourceNotFoundException",
            status: 404,
            message: "The guardrail arn:aws:bedrock:us-east-1:123456789012:guardrail/missing000 does not exist.".into(),
        });
    }
    let faults = texts.iter().map(|text| text_of(text));
    let faults: Vec<String> = faults
        .filter(|text| text.contains("[simulate apply "))
        .map(|text| {
            text.replace("[simulate apply ", "\u{0}")
                .replace("[simulate ", "")
                .replace('\u{0}', "[simulate ")
        })
        .collect();
    let plan = Plan::from_texts(faults.iter().map(String::as_str));
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    let judgment = judge(request, &texts);
    let images = content.len() - texts.len();
    let mut usage = usage(request, &texts);
    usage["contentPolicyImageUnits"] = images.into();
    simulator.bill_guardrail(&usage);
    plan.before_reply().await;
    let (action, outputs, assessment) = judgment;
    let outputs: Vec<Value> = outputs.iter().map(|text| json!({"text": text})).collect();
    Ok(reply::json(&json!({
        "usage": usage, "action": action, "outputs": outputs, "assessments": [assessment],
    })))
}
