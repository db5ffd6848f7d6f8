//! `POST /guardrail/{id}/version/{version}/apply`. Every id exists, except [`MISSING`].

use axum::{
    http::{Method, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    ServiceError, Simulator, content_filter, escapes,
    fault::Plan,
    guardrail::{INTERVENED, MESSAGE, judge, text_of, usage},
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

/// The faults that `[simulate apply …]` asks for. Those of a model that is asked with the same text do not count.
pub fn faults(texts: &[&str]) -> Plan {
    let faults = texts
        .iter()
        .filter(|text| text.contains("[simulate apply "));
    let faults: Vec<String> = faults
        .map(|text| {
            text.replace("[simulate apply ", "\u{0}")
                .replace("[simulate ", "")
                .replace('\u{0}', "[simulate ")
        })
        .collect();
    Plan::from_texts(faults.iter().map(String::as_str))
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
    let said: Vec<&str> = texts.iter().map(|text| text_of(text)).collect();
    let plan = faults(&said);
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    let judgment = judge(request, &texts);
    let images = content.len() - texts.len();
    let mut usage = usage(request, &texts);
    usage["contentPolicyImageUnits"] = images.into();
    simulator.bill_guardrail(&usage);
    plan.before_reply().await;
    let (mut action, mut outputs, mut assessment) = judgment;
    let is_full = request["outputScope"] == "FULL";
    let (policy, blocks) = content_filter::policy(&said, is_full);
    if let Some(policy) = policy {
        assessment["contentPolicy"] = policy;
    }
    if blocks {
        (action, outputs) = (INTERVENED, vec![MESSAGE.to_owned()]);
    }
    let outputs: Vec<Value> = outputs.iter().map(|text| json!({"text": text})).collect();
    Ok(reply::json(&json!({
        "usage": usage, "action": action, "outputs": outputs, "assessments": [assessment],
    })))
}
