//! Anthropic's Messages on bedrock-runtime and on bedrock-mantle. On one port, a path below `/mantle` or a signature for
//! `bedrock-mantle` reaches the latter.

mod reply;
mod rules;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    ServiceError, Simulator, answer,
    fault::Plan,
    invoke::chat::{Outcome, anthropic, tags},
    parse,
    reply::usage,
    request_id::with_request_id,
};

/// The host that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Runtime,
    Mantle,
}

/// Returns the host of a request for Messages, or `None` for other requests.
pub fn route(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Host> {
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let is_signed_for_mantle =
        authorization.is_some_and(|value| value.contains("/bedrock-mantle/"));
    let host = match uri.path() {
        "/mantle/anthropic/v1/messages" => Host::Mantle,
        "/anthropic/v1/messages" if is_signed_for_mantle => Host::Mantle,
        "/anthropic/v1/messages" => Host::Runtime,
        _ => return None,
    };
    (method == Method::POST).then_some(host)
}

/// An error in Anthropic's form.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: u16,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            message: message.into(),
        }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let (status, kind) = match error.name {
            "ThrottlingException" => (429, "rate_limit_error"),
            "ServiceUnavailableException" => (529, "overloaded_error"),
            "InvalidSignatureException" => (401, "authentication_error"),
            "ResourceNotFoundException" => (404, "not_found_error"),
            "AccessDeniedException" => (403, "permission_error"),
            _ if error.status < 500 => (400, "invalid_request_error"),
            _ => (error.status, "api_error"),
        };
        Self {
            status,
            kind,
            message: error.message,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({"type": self.kind, "message": self.message});
        let body = json!({"type": "error", "error": error}).to_string();
        let mut response = with_request_id(self.status, Body::from(body));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", kind);
        response
    }
}

/// Answers one request.
pub async fn answer(
    simulator: &Simulator,
    host: Host,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let reply = create(simulator, host, headers, body).await;
    reply.unwrap_or_else(IntoResponse::into_response)
}

/// # Errors
/// The service's error for an invalid request, or the fault that the last message asks for.
async fn create(
    simulator: &Simulator,
    host: Host,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    let request = rules::with_blocks(parse(body)?);
    let model = request["model"].as_str().unwrap_or_default();
    rules::check_model(model, host)?;
    rules::check_headers(headers, host)?;
    rules::check_body(&request, host, &rules::flags(headers))?;
    let mut converse = anthropic::converse(&request)?;
    tags::apply(headers, &Value::Null, &mut converse)?;
    let plan = Plan::of(&converse);
    if let Some(error) = plan.refusal() {
        return Err(error.into());
    }
    let answer = answer::answer(&converse, &plan);
    let cached = simulator.shared().cache.look_up(model, &converse);
    simulator.bill("Messages", model, &Value::Null, &usage(&answer, cached));
    let guardrail = answer.guardrail.usages.iter();
    guardrail.for_each(|usage| simulator.bill_guardrail(usage));
    plan.before_reply().await;
    let outcome = Outcome {
        answer: &answer,
        cached,
        logprobs: None,
        reasons: false,
    };
    Ok(match request["stream"] == true {
        true => reply::stream(model, &outcome, &plan),
        false => reply::whole(model, &outcome, &plan),
    })
}
