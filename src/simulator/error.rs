//! Errors as the service reports them.

use axum::{
    body::Body,
    http::HeaderValue,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::request_id::with_request_id;

/// An error of the service: name, status, message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    pub name: &'static str,
    pub status: u16,
    pub message: String,
}

impl ServiceError {
    pub fn validation(message: impl Into<String>) -> Self {
        Self {
            name: "ValidationException",
            status: 400,
            message: message.into(),
        }
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let mut response = with_request_id(
            self.status,
            Body::from(json!({"message": self.message}).to_string()),
        );
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        // The service adds a URL to the name; clients must cut it.
        if let Ok(name) = HeaderValue::from_str(&format!(
            "{}:http://internal.amazon.com/coral/com.amazon.bedrock/",
            self.name
        )) {
            headers.insert("x-amzn-errortype", name);
        }
        response
    }
}
