use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// A body that keeps something alive until its last byte is gone, or nobody wants it any more.
struct Guarded<G> {
    body: Body,
    guard: Option<G>,
}

/// Lets go of `guard` when the body of `response` has ended or is dropped.
pub fn until_end<G: Send + Unpin + 'static>(response: Response, guard: G) -> Response {
    response.map(|body| {
        Body::new(Guarded {
            body,
            guard: Some(guard),
        })
    })
}

impl<G: Unpin> http_body::Body for Guarded<G> {
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

impl<G> Drop for Guarded<G> {
    fn drop(&mut self) {
        // The body first: what it tells at its end belongs into what the guard writes.
        self.body = Body::empty();
        self.guard = None;
    }
}
