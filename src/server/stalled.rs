//! Ends responses that a client of HTTP/2 does not read. The connection may serve other responses, so it is not closed, and
//! hyper does not ask a body for more before the client has room for it. So a task watches each body.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// A body that fails when it was not asked for more within the time limit.
struct WatchedBody {
    slot: Arc<Mutex<Slot>>,
    _watch: AbortOnDropHandle<()>,
}

struct Slot {
    /// `None` after the time limit.
    body: Option<Body>,
    /// Since when the last frame waits to be sent. `None` while the body is asked for more.
    since: Option<Instant>,
}

/// Drops the body of `response` once the client has not read from it for `limit`.
pub fn cut_off(response: Response, limit: Duration, tasks: &TaskTracker) -> Response {
    response.map(|body| {
        if http_body::Body::is_end_stream(&body) {
            return body;
        }
        let slot = Arc::new(Mutex::new(Slot {
            body: Some(body),
            since: Some(Instant::now()),
        }));
        let watch = tasks.spawn(watch(Arc::downgrade(&slot), limit));
        Body::new(WatchedBody {
            slot,
            _watch: AbortOnDropHandle::new(watch),
        })
    })
}

async fn watch(slot: Weak<Mutex<Slot>>, limit: Duration) {
    let mut next = Instant::now() + limit;
    loop {
        sleep_until(next).await;
        let Some(slot) = slot.upgrade() else { return };
        let mut slot = lock(&slot);
        let deadline = slot.since.unwrap_or_else(Instant::now) + limit;
        if deadline <= Instant::now() {
            let body = slot.body.take();
            drop(slot);
            // Reports the end of the call.
            drop(body);
            return;
        }
        next = deadline;
    }
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut slot = lock(&self.slot);
        let Some(body) = &mut slot.body else {
            let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        };
        let polled = Pin::new(body).poll_frame(cx);
        slot.since = polled.is_ready().then(Instant::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        let slot = lock(&self.slot);
        slot.body
            .as_ref()
            .is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let slot = lock(&self.slot);
        slot.body
            .as_ref()
            .map(http_body::Body::size_hint)
            .unwrap_or_default()
    }
}
