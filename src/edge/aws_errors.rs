//! Errors in the form of AWS, on the paths of its SDKs.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    dialect::{aws_message, name_and_status},
    rescue::RescuedError,
    sigv4,
};
use crate::error::Error;

/// Rewrites the response to a request that was rejected or failed.
pub async fn in_aws_form(request: Request, next: Next) -> Response {
    rewritten(next.run(request).await)
}

/// Returns the response to a request for a path that does not exist, or does not support the method.
pub fn on_path(path: &str, error: Error) -> Response {
    let response = error.into_response();
    match path.starts_with("/model/") {
        true => rewritten(response),
        false => response,
    }
}

fn rewritten(mut response: Response) -> Response {
    let Some(RescuedError(error)) = response.extensions().get::<RescuedError>().cloned() else {
        return response;
    };
    let (name, status) = name_and_status(&error);
    let name = match error.code() {
        Some(sigv4::INVALID) => "InvalidSignatureException",
        Some(sigv4::INCOMPLETE) => "IncompleteSignature",
        _ => name,
    };
    *response.status_mut() = status;
    *response.body_mut() = Body::from(json!({"message": aws_message(&error)}).to_string());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        HeaderName::from_static("x-amzn-errortype"),
        HeaderValue::from_static(name),
    );
    response
}
