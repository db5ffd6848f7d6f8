//! Chat completions of bedrock-runtime and of bedrock-mantle. On one port, a path below `/mantle`, a path that begins with
//! `/v1`, or a signature for `bedrock-mantle` reaches the latter.

mod reply;
mod request;
pub mod rules;
mod validate;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    ServiceError, Simulator,
    answer::{self, Block, pieces},
    fault::Plan,
    parse,
    request_id::with_request_id,
};
use reply::Terms;
use rules::Family;

/// The host that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Runtime,
    /// With the prefix of the path.
    Mantle(&'static str),
}

/// Returns the host of a request for chat completions, or `None` for other requests.
pub fn route(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Host> {
    host(
        method,
        uri.path().strip_suffix("/chat/completions")?,
        headers,
    )
}

/// Returns the host of a POST below the path `prefix`.
pub fn host(method: &Method, prefix: &str, headers: &HeaderMap) -> Option<Host> {
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let scope = authorization.is_some_and(|value| value.contains("/bedrock-mantle/"));
    let host = match prefix {
        "/mantle/openai/v1" => Host::Mantle("openai/v1"),
        "/mantle/v1" | "/v1" => Host::Mantle("v1"),
        "/openai/v1" if scope => Host::Mantle("openai/v1"),
        "/openai/v1" => Host::Runtime,
        _ => return None,
    };
    (method == Method::POST).then_some(host)
}

/// An error in OpenAI's form.
#[derive(Clone, Debug)]
pub struct NativeRefusal {
    status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<&'static str>,
    message: String,
}

impl NativeRefusal {
    /// A 400.
    pub fn invalid(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            code: None,
            param,
            message: message.into(),
        }
    }
}

impl From<ServiceError> for NativeRefusal {
    /// bedrock-mantle reports an overload as 529 and a signature as 401.
    fn from(error: ServiceError) -> Self {
        let (status, kind, code) = match error.name {
            "ThrottlingException" => (429, "rate_limit_error", Some("rate_limit_exceeded")),
            "ServiceUnavailableException" => (529, "overloaded_error", None),
            "InvalidSignatureException" => (401, "authentication_error", Some("invalid_api_key")),
            "ResourceNotFoundException" => (404, "not_found_error", Some("model_not_found")),
            _ if error.status < 500 => (error.status, "invalid_request_error", None),
            _ => (error.status, "server_error", None),
        };
        Self {
            status,
            kind,
            code,
            param: None,
            message: error.message,
        }
    }
}

impl IntoResponse for NativeRefusal {
    fn into_response(self) -> Response {
        let Self {
            status,
            kind,
            code,
            param,
            message,
        } = self;
        let error = json!({"message": message, "type": kind, "param": param, "code": code});
        let body = json!({"error": error}).to_string();
        let mut response = with_request_id(status, Body::from(body));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", kind);
        response
    }
}

/// The reply of bedrock-runtime to a path that it does not have.
pub fn unknown_path() -> Response {
    let kind = "com.amazon.coral.service#UnknownOperationException";
    let body = json!({"Output": {"__type": kind}, "Version": "1.0"});
    super::reply::json(&body)
}

/// Answers one request.
pub async fn answer(
    simulator: &Simulator,
    host: &Host,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let reply = complete(simulator, host, headers, body).await;
    reply.unwrap_or_else(IntoResponse::into_response)
}

/// # Errors
/// The service's error for an invalid request, or the fault that the last message asks for.
async fn complete(
    simulator: &Simulator,
    host: &Host,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, NativeRefusal> {
    let request = parse(body)?;
    validate::check(&request)?;
    let model = request["model"].as_str().unwrap_or_default();
    let family = Family::of(model, host, "chat/completions")?;
    family.check(&request, host)?;
    let converse = request::as_converse(&request, headers);
    // bedrock-mantle ignores guardrails. The gateway must never rely on one there.
    if *host != Host::Runtime && converse["guardrailConfig"].is_object() {
        let text = "a guardrail was sent to an endpoint that ignores it";
        return Err(NativeRefusal::invalid(None, text));
    }
    let plan = Plan::of(&converse);
    if let Some(error) = plan.refusal() {
        return Err(error.into());
    }
    let answer = answer::answer(&converse, &plan);
    let thoughts = answer.blocks.iter().map(|block| match block {
        Block::Reasoning { text, .. } => pieces(text).count(),
        _ => 0,
    });
    let is_blocked = answer.stop_reason == "guardrail_intervened";
    let (input, output) = match is_blocked {
        true => (0, 0),
        false => (answer.input_tokens, answer.output_tokens),
    };
    let usage = json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thoughts.sum::<usize>()},
    });
    let billed = json!({"inputTokens": input, "outputTokens": output});
    simulator.bill("ChatCompletions", model, &Value::Null, &billed);
    let guardrail = answer.guardrail.usages.iter();
    guardrail.for_each(|usage| simulator.bill_guardrail(usage));
    plan.before_reply().await;
    let terms = Terms {
        family,
        host,
        request: &request,
        turn: request["messages"].as_array().map_or(0, Vec::len),
        usage,
    };
    Ok(match request["stream"] == true {
        true => terms.stream(&answer, &plan),
        false => terms.whole(&answer, &plan),
    })
}

/// Reports whether the path is one of OpenAI's or Anthropic's. bedrock-runtime answers unknown ones with 200.
pub fn is_native_path(uri: &Uri) -> bool {
    ["/openai/", "/v1/", "/mantle/", "/anthropic/"]
        .iter()
        .any(|prefix| uri.path().starts_with(prefix))
}
