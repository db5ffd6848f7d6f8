//! Request ids of replies.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode},
    response::Response,
};

/// Every reply of the service has an id, in the form of a UUID.
pub fn with_request_id(status: u16, body: Body) -> Response {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = format!(
        "00000000-0000-4000-8000-{:012x}",
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
