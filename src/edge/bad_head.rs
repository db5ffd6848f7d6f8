//! Requests whose head was rejected before it was parsed.

use axum::{extract::Request, middleware::Next, response::Response};

use crate::error::{Error, Kind};

/// Why the head of a request was rejected. The server puts it into the extensions of an empty request that stands for the
/// rejected one, so that the rejection has a log line, a metric and a body like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHead {
    pub kind: Kind,
    pub code: &'static str,
    pub message: &'static str,
}

/// Middleware that answers requests with a bad head.
///
/// # Errors
/// The rejection.
pub async fn reject(request: Request, next: Next) -> Result<Response, Error> {
    match request.extensions().get::<BadHead>() {
        None => Ok(next.run(request).await),
        Some(bad) => Err(Error::new(bad.kind, bad.message)
            .with_code(bad.code)
            .with_connection_close()),
    }
}
