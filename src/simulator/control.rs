//! The control plane: resolves inference profiles, provisioned throughputs and custom models to models.

use axum::{
    body::Body,
    http::{Method, Uri, request::Parts},
    response::Response,
};
use serde_json::json;

use super::{ServiceError, Simulator, escapes::percent_decode, request_id::with_request_id, sigv4};

/// The ARN in `GET /inference-profiles/{arn}` and the like.
pub fn route(method: &Method, uri: &Uri) -> Option<String> {
    let collections = [
        "/inference-profiles/",
        "/provisioned-model-throughput/",
        "/custom-models/",
    ];
    let arn = collections
        .iter()
        .find_map(|collection| uri.path().strip_prefix(collection));
    arn.filter(|_| method == Method::GET)
        .and_then(percent_decode)
}

/// Answers `GET /inference-profiles/{arn}` and the like.
///
/// # Errors
/// The service's error for a wrong signature or an unknown ARN.
pub fn describe(simulator: &Simulator, parts: &Parts, arn: &str) -> Result<Response, ServiceError> {
    let fault = simulator.count_describe();
    sigv4::check(
        &simulator.secret_key,
        simulator.now(),
        &parts.method,
        &parts.uri,
        &parts.headers,
        &[],
    )?;
    if let Some(status) = fault {
        return Ok(with_request_id(status, Body::empty()));
    }
    let model_arn = simulator.described(arn).ok_or_else(|| ServiceError {
        name: "ResourceNotFoundException",
        status: 404,
        message: "No such resource.".into(),
    })?;
    let body = json!({"models": [{"modelArn": model_arn}], "foundationModelArn": model_arn});
    Ok(with_request_id(200, Body::from(body.to_string())))
}
