//! `POST /guardrail-checks/invoke`: checks without a guardrail. Only content filters are simulated.

use axum::{
    http::{Method, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    ServiceError, Simulator, apply_guardrail::faults, content_filter::severity, guardrail::UNIT,
    model, reply,
};

/// The most blocks of a message.
const MAX_BLOCKS: usize = 10;

/// Whether a request is for this operation.
pub fn route(method: &Method, uri: &Uri) -> bool {
    method == Method::POST && uri.path() == "/guardrail-checks/invoke"
}

/// Answers an InvokeGuardrailChecks request.
///
/// # Errors
/// The service's error for an invalid request, or the one that `[simulate apply …]` in a text asks for.
pub async fn invoke(simulator: &Simulator, request: &Value) -> Result<Response, ServiceError> {
    model::RUNTIME
        .check("InvokeGuardrailChecksRequest", request, "")
        .map_err(|text| ServiceError::validation(format!("1 validation error detected: {text}")))?;
    let messages = request["messages"].as_array().into_iter().flatten();
    let contents: Vec<&Vec<Value>> = messages
        .filter_map(|one| one["content"].as_array())
        .collect();
    if contents.iter().any(|blocks| blocks.len() > MAX_BLOCKS) {
        let text = format!("A message may have at most {MAX_BLOCKS} content blocks.");
        return Err(ServiceError::validation(text));
    }
    let categories = request["checks"]["contentFilter"]["categories"].as_array();
    let Some(categories) = categories.filter(|_| {
        request["checks"]
            .as_object()
            .is_some_and(|all| all.len() == 1)
    }) else {
        let text = "At least one check must be set; the simulator has only contentFilter.";
        return Err(ServiceError::validation(text));
    };
    let texts: Vec<&str> = contents
        .into_iter()
        .flatten()
        .filter_map(|block| block["text"].as_str())
        .collect();
    let plan = faults(&texts);
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    let units: usize = texts
        .iter()
        .map(|text| text.chars().count().div_ceil(UNIT))
        .sum();
    let usage = json!({"contentFilter": {"textUnits": units}});
    simulator.bill_guardrail(&usage);
    plan.before_reply().await;
    let results = categories.iter().map(|category| {
        let category = category["category"].as_str().unwrap_or_default();
        json!({"category": category, "severityScore": severity(category, &texts)})
    });
    let results = json!({"contentFilter": {"results": results.collect::<Vec<_>>()}});
    Ok(reply::json(&json!({"results": results, "usage": usage})))
}
