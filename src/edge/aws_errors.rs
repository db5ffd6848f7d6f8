//! Errors in the form of AWS, on the paths of its SDKs.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use serde_json::json;

use super::{dialect::name_and_status, rescue::RescuedError, sigv4};

/// Rewrites the response to a request that was rejected or failed.
pub async fn in_aws_form(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(RescuedError(error)) = response.extensions().get::<RescuedError>().cloned() else {
        return response;
    };
    let (name, status) = name_and_status(error.kind());
    let name = match error.code() {
        Some(sigv4::INVALID) => "InvalidSignatureException",
        Some(sigv4::INCOMPLETE) => "IncompleteSignature",
        _ => name,
    };
    *response.status_mut() = status;
    *response.body_mut() = Body::from(json!({"message": error.message()}).to_string());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        HeaderName::from_static("x-amzn-errortype"),
        HeaderValue::from_static(name),
    );
    response
}
