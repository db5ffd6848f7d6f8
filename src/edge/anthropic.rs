//! What responses on Anthropic's paths have in common: the error envelope with its types and statuses, and Anthropic's
//! headers. A middleware writes them, so that errors before a dialect (a missing key, a full gateway) have the same form.

use std::time::{Duration, SystemTime};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::Response,
};
use jiff::Timestamp;

use super::{access_log::Entry, rescue::RescuedError};
use crate::{
    anthropic::error::{ErrorBody, ErrorEnvelope},
    call::{RateLimits, Remaining},
    error::{Error, Kind},
};

/// The header by which a client of Anthropic's API names its version.
pub const VERSION: &str = "anthropic-version";

/// Returns true if the request is one of Anthropic's API: all below `/messages`, and the list of models for clients that
/// name the API's version.
pub fn is_spoken(path: &str, headers: &HeaderMap) -> bool {
    let bare = path.strip_prefix("/v1").unwrap_or(path);
    let is_below = |root: &str| {
        let rest = bare.strip_prefix(root);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_below("/messages") || (is_below("/models") && headers.contains_key(VERSION))
}

/// Middleware that gives responses on Anthropic's paths Anthropic's form.
pub async fn shape(request: Request, next: Next) -> Response {
    if !is_spoken(request.uri().path(), request.headers()) {
        return next.run(request).await;
    }
    let entry = request.extensions().get::<Entry>().cloned();
    let mut response = next.run(request).await;
    let id = entry.as_ref().map(|entry| entry.request_id().clone());
    if let Some(RescuedError(error)) = response.extensions().get::<RescuedError>().cloned() {
        *response.status_mut() = status_and_type(&error).0;
        *response.body_mut() = Body::from(envelope(&error, id.as_deref()));
        add_error_headers(&error, response.headers_mut());
    }
    let headers = response.headers_mut();
    if let Some(entry) = entry {
        add_rate_limits(&entry.trace().rate_limits(), headers);
    }
    insert(headers, "request-id", id.as_deref().unwrap_or_default());
    response
}

/// Serializes an error in Anthropic's envelope.
pub fn envelope(error: &Error, request_id: Option<&str>) -> Vec<u8> {
    let is_too_long = error.code() == Some("context_length_exceeded");
    let message = match (error.quote().filter(|_| is_too_long), error.param()) {
        // Clients repair the request if they recognize Claude's own sentence.
        (Some(quote), _) => quote.to_owned(),
        // The envelope has no member for it.
        (None, Some(param)) if !error.message().contains(param) => {
            format!("{param}: {}", error.message())
        }
        _ => error.message().to_owned(),
    };
    let envelope = ErrorEnvelope {
        r#type: "error",
        error: ErrorBody {
            r#type: status_and_type(error).1,
            message: &message,
        },
        request_id,
    };
    // Serializing strings cannot fail.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// Writes the event that ends a failed stream.
pub fn error_event(error: &Error, request_id: Option<&str>) -> Vec<u8> {
    let envelope = envelope(error, request_id);
    [b"event: error\ndata: ".as_slice(), &envelope, b"\n\n"].concat()
}

fn status_and_type(error: &Error) -> (StatusCode, &'static str) {
    match error.kind() {
        Kind::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request_error"),
        Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "authentication_error"),
        Kind::PermissionDenied => (StatusCode::FORBIDDEN, "permission_error"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "not_found_error"),
        Kind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error"),
        Kind::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout_error"),
        Kind::Conflict => (StatusCode::CONFLICT, "api_error"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        Kind::HeadTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "invalid_request_error",
        ),
        Kind::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error"),
        Kind::BudgetSpent => (StatusCode::TOO_MANY_REQUESTS, "billing_error"),
        Kind::RateLimited | Kind::BudgetBusy | Kind::UpstreamThrottle | Kind::UpstreamQuota => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error")
        }
        // The operator has to act, so that no retry helps.
        Kind::UpstreamUnavailable if lacks_credentials(error) => {
            (StatusCode::BAD_GATEWAY, "api_error")
        }
        Kind::Upstream => (StatusCode::BAD_GATEWAY, "api_error"),
        Kind::UpstreamUnavailable | Kind::LedgerUnavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "api_error")
        }
        // Anthropic's own status, which its SDKs know. `http` has no constant for it.
        Kind::Overloaded => (
            StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            "overloaded_error",
        ),
        Kind::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
    }
}

fn lacks_credentials(error: &Error) -> bool {
    error.code() == Some("credentials_unavailable")
}

fn add_error_headers(error: &Error, headers: &mut HeaderMap) {
    // Without it, clients repeat a request with a bad key for minutes.
    if error.kind() == Kind::Unauthenticated || lacks_credentials(error) {
        insert(headers, "x-should-retry", "false");
    }
    if error.kind() == Kind::BudgetSpent {
        insert(headers, "anthropic-ratelimit-unified-status", "rejected");
        insert(
            headers,
            "anthropic-ratelimit-unified-overage-status",
            "rejected",
        );
        if let Some(wait) = error.retry_after() {
            let reset = at(wait).as_second().to_string();
            insert(headers, "anthropic-ratelimit-unified-reset", &reset);
        }
    }
}

fn add_rate_limits(limits: &RateLimits, headers: &mut HeaderMap) {
    const REQUESTS: [&str; 3] = [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ];
    const TOKENS: [&str; 3] = [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ];
    for (names, left) in [(REQUESTS, limits.requests), (TOKENS, limits.tokens)] {
        let Some(Remaining {
            limit,
            remaining,
            reset,
        }) = left
        else {
            continue;
        };
        let values = [
            limit.to_string(),
            remaining.to_string(),
            at(reset).to_string(),
        ];
        for (name, value) in names.into_iter().zip(values) {
            insert(headers, name, &value);
        }
    }
}

/// Returns the time after `wait`, in whole seconds.
fn at(wait: Duration) -> Timestamp {
    let later = SystemTime::now().checked_add(wait);
    let seconds = later
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_secs()).ok());
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::MAX)
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_anthropic_are_messages_and_models_with_a_version() {
        let none = HeaderMap::new();
        let version = HeaderMap::from_iter([(
            HeaderName::from_static(VERSION),
            HeaderValue::from_static("2023-06-01"),
        )]);
        for path in ["/v1/messages", "/messages", "/v1/messages/count_tokens"] {
            assert!(is_spoken(path, &none), "{path}");
        }
        for path in ["/v1/models", "/v1/messagesque", "/v1/chat/completions"] {
            assert!(!is_spoken(path, &none), "{path}");
        }
        assert!(is_spoken("/v1/models/claude", &version));
        assert!(!is_spoken("/v1/chat/completions", &version));
    }
}
