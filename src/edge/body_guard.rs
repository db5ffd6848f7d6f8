//! Ties a value to the lifetime of a response body.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// A body that holds `guard` until it ends, fails or is dropped.
struct GuardedBody<G> {
    body: Body,
    guard: Option<G>,
}

/// Drops `guard` when the body of `response` ends, fails or is dropped.
pub fn until_end<G: Send + Unpin + 'static>(response: Response, guard: G) -> Response {
    response.map(|body| {
        Body::new(GuardedBody {
            body,
            guard: Some(guard),
        })
    })
}

impl<G: Unpin> http_body::Body for GuardedBody<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.guard = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<G> Drop for GuardedBody<G> {
    fn drop(&mut self) {
        // The body first, because it reports its end when it is dropped, and the guard may log that report.
        self.body = Body::empty();
        self.guard = None;
    }
}
