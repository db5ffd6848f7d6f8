//! The control plane: resolves inference profiles, provisioned throughputs and custom models to models, and describes imported
//! models.

use axum::{
    body::Body,
    http::{Method, Uri, request::Parts},
    response::Response,
};
use serde_json::json;

use super::{ServiceError, Simulator, escapes::percent_decode, request_id::with_request_id, sigv4};

/// The collection of imported models. Their architectures are kept beside the resolved ARNs, under their paths.
const IMPORTED: &str = "/imported-models/";

/// The architectures that Converse does not serve. Source: Bedrock user guide, invoke an imported model, 2026-11.
const NOT_ON_CONVERSE: [&str; 4] = ["qwen2.5", "qwen2_vl", "qwen2_5_vl", "gpt_oss"];

impl Simulator {
    /// Makes the imported model `arn` one of `architecture`.
    pub fn import(&self, arn: &str, architecture: &str) {
        self.describe(&format!("{IMPORTED}{arn}"), architecture);
    }

    /// Checks that Converse serves the imported model `arn`.
    ///
    /// # Errors
    /// `ValidationException` if it does not.
    pub(super) fn check_imported(&self, arn: &str) -> Result<(), ServiceError> {
        let architecture = self.described(&format!("{IMPORTED}{arn}"));
        match architecture.filter(|own| NOT_ON_CONVERSE.contains(&own.as_str())) {
            None => Ok(()),
            Some(_) => Err(ServiceError::validation(
                "This action doesn't support the model that you provided. Try again with a supported text or chat model.",
            )),
        }
    }
}

/// The ARN in `GET /inference-profiles/{arn}` and the like. Of an imported model, the whole path.
pub fn route(method: &Method, uri: &Uri) -> Option<String> {
    if uri.path().starts_with(IMPORTED) {
        return Some(uri.path())
            .filter(|_| method == Method::GET)
            .and_then(percent_decode);
    }
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
    let body = match arn.strip_prefix(IMPORTED) {
        Some(arn) => {
            json!({"modelArn": arn, "modelArchitecture": model_arn, "instructSupported": true})
        }
        None => json!({"models": [{"modelArn": model_arn}], "foundationModelArn": model_arn}),
    };
    Ok(with_request_id(200, Body::from(body.to_string())))
}
