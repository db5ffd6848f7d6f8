//! HTTP/1. hyper parses and writes it; [`connection`] checks what it reads, and has the time limits.

mod chunks;
mod connection;
pub mod framing;
pub mod head;
mod probe;

use std::pin::pin;

use axum::{body::Body, response::Response};
use http::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use self::{connection::Connection, head::MAX_HEAD, probe::ProbedEvents};
use super::{Timeouts, phase::Phase, service::Service};

/// Serves a connection until it ends, or until the requests in flight have ended after `closing`.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    service: Service,
    timeouts: Timeouts,
    closing: CancellationToken,
) {
    let stream = Connection::new(stream, timeouts, service.phase.clone());
    let mut connection = pin!(
        http1::Builder::new()
            // `Connection` has the timeouts.
            .header_read_timeout(None)
            .timer(TokioTimer::new())
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Errors of a connection are not logged, because each request has its own line in the access log.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Lets a stream of events find out whether a client that closed its side still reads.
pub fn probed(response: Response, phase: Phase) -> Response {
    let is_events = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    match is_events {
        true => response.map(|events| Body::new(ProbedEvents::new(events, phase))),
        false => response,
    }
}
