//! `GET /v1/responses`, by which clients ask for a WebSocket.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::error::{Error, Kind};

/// Refuses a WebSocket. The status tells clients to send their requests over HTTP, at once and for the whole session.
pub async fn upgrade(headers: HeaderMap) -> Response {
    if !headers.contains_key(header::UPGRADE) {
        let text = "/v1/responses does not support GET. Use POST.";
        return Error::new(Kind::MethodNotAllowed, text)
            .with_code("method_not_allowed")
            .into_response();
    }
    let text = "WebSockets are not supported. Send the request with POST.";
    let error = Error::new(Kind::InvalidRequest, text).with_code("websocket_not_supported");
    let mut response = error.into_response();
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response
}
