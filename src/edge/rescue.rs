//! Turns errors into responses with OpenAI's error envelope. The only place that maps errors to statuses and types.

use std::{any::Any, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    error::{Error, Kind},
    openai::error::{ErrorBody, ErrorEnvelope},
};

/// A response extension that carries the error to the access log.
#[derive(Clone)]
pub struct RescuedError(pub Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        respond(self, envelope)
    }
}

/// Turns an error into a response. `body` serializes it in the format of the dialect.
pub fn respond(error: Error, body: impl Fn(&Error) -> Vec<u8>) -> Response {
    let (status, _) = status_and_type(error.kind());
    let mut response = Response::new(Body::from(body(&error)));
    *response.status_mut() = status;
    add_headers(&error, response.headers_mut());
    response
        .extensions_mut()
        .insert(RescuedError(Arc::new(error)));
    response
}

/// Serializes an error in OpenAI's envelope, for the body of a response or the data of an error event.
pub fn envelope(error: &Error) -> Vec<u8> {
    let (_, kind) = status_and_type(error.kind());
    let error = ErrorBody {
        message: error.message(),
        r#type: kind,
        param: error.param(),
        code: error.code(),
    };
    // Serializing strings cannot fail.
    serde_json::to_vec(&ErrorEnvelope { error }).unwrap_or_default()
}

/// Turns a panic in a handler into a 500. The panic hook has already logged the panic.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Error::new(
        Kind::Internal,
        "The gateway failed to handle this request because of an internal error.",
    )
    .with_detail("panic")
    .into_response()
}

/// Returns OpenAI's `type` of an error.
pub fn error_type(error: &Error) -> &'static str {
    status_and_type(error.kind()).1
}

fn status_and_type(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request_error"),
        Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "invalid_request_error"),
        Kind::PermissionDenied => (StatusCode::FORBIDDEN, "permission_error"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "invalid_request_error"),
        Kind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error"),
        Kind::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
        Kind::Conflict => (StatusCode::CONFLICT, "api_error"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error"),
        Kind::HeadTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "invalid_request_error",
        ),
        Kind::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error"),
        Kind::BudgetSpent => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota"),
        Kind::LedgerUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "api_error"),
        Kind::RateLimited | Kind::BudgetBusy | Kind::UpstreamThrottle | Kind::UpstreamQuota => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error")
        }
        Kind::Upstream => (StatusCode::BAD_GATEWAY, "api_error"),
        Kind::UpstreamUnavailable | Kind::Overloaded => {
            (StatusCode::SERVICE_UNAVAILABLE, "api_error")
        }
        Kind::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
    }
}

fn add_headers(error: &Error, headers: &mut HeaderMap) {
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(after) = error.retry_after() {
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(after.as_nanos().div_ceil(1_000_000_000).max(1) as u64),
        );
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        headers.insert(
            HeaderName::from_static("retry-after-ms"),
            HeaderValue::from(millis),
        );
    }
    if let Some(retry) = error.should_retry() {
        let text = if retry { "true" } else { "false" };
        headers.insert(
            HeaderName::from_static("x-should-retry"),
            HeaderValue::from_static(text),
        );
    }
    if error.kind() == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if error.closes_connection() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, extract::Request, routing::get};
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn panic_becomes_a_500_without_its_message() {
        async fn panics() -> Response {
            panic!("the secret text of a panic")
        }
        let router = Router::new()
            .route("/", get(panics))
            .layer(CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            response.extensions().get::<RescuedError>().is_some(),
            "the access log needs the error"
        );
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let body = std::str::from_utf8(&body).unwrap();
        assert!(
            body.contains("\"type\":\"api_error\"") && !body.contains("secret"),
            "{body}"
        );
    }
}
