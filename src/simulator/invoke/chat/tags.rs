//! The guardrail of a request: its headers, and the tags around the text that it evaluates.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::simulator::ServiceError;

/// Puts the guardrail of the headers into the request, and takes its tags out of the text.
///
/// # Errors
/// `ValidationException` for an unknown trace mode, or a suffix without a tag.
pub fn apply(headers: &HeaderMap, body: &Value, request: &mut Value) -> Result<(), ServiceError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (identifier, version) = (
        text("x-amzn-bedrock-guardrailidentifier"),
        text("x-amzn-bedrock-guardrailversion"),
    );
    if identifier.is_some() != version.is_some() {
        return Err(ServiceError::validation(
            "The guardrail identifier and its version must be given together.",
        ));
    }
    let Some(identifier) = identifier else {
        return Ok(());
    };
    let trace = match text("x-amzn-bedrock-trace") {
        None | Some("DISABLED") => "disabled",
        Some("ENABLED") => "enabled",
        Some("ENABLED_FULL") => "enabled_full",
        Some(other) => {
            return Err(ServiceError::validation(format!(
                "The trace '{other}' is not known."
            )));
        }
    };
    request["guardrailConfig"] =
        json!({"guardrailIdentifier": identifier, "guardrailVersion": version, "trace": trace});
    let config = &body["amazon-bedrock-guardrailConfig"];
    if let Some(suffix) = config["tagSuffix"].as_str() {
        let name = format!("amazon-bedrock-guardrails-guardContent_{suffix}");
        if !body.to_string().contains(&name) {
            return Err(ServiceError::validation(
                "No text has a tag with the suffix of the request.",
            ));
        }
        strip(request, &format!("<{name}>"), &format!("</{name}>"));
    }
    Ok(())
}

fn strip(value: &mut Value, open: &str, close: &str) {
    match value {
        Value::String(text) if text.contains(open) => {
            *text = text.replace(open, "").replace(close, "");
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, open, close)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| strip(member, open, close)),
        _ => {}
    }
}

/// Returns a trace of Converse as InvokeModel reports it.
pub fn invoke_trace(trace: &Value) -> Value {
    let mut out = Map::new();
    if !trace["inputAssessment"].is_null() {
        out.insert("input".into(), trace["inputAssessment"].clone());
    }
    if let Some(by_id) = trace["outputAssessments"].as_object() {
        let outputs = by_id.iter().flat_map(|(id, all)| {
            let all = all.as_array().into_iter().flatten();
            all.map(move |one| json!({id.as_str(): one}))
        });
        out.insert("outputs".into(), outputs.collect());
    }
    for name in ["modelOutput", "actionReason"] {
        if !trace[name].is_null() {
            out.insert(name.into(), trace[name].clone());
        }
    }
    out.into()
}
