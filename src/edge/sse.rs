//! Response bodies of server-sent events. A stream that fails ends with an error event and without `[DONE]`, so that
//! clients do not take it for complete.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{access_log::Entry, dialect::EventSource, shed};
use crate::error::Error;

/// Events that are ready are sent together, up to this many bytes. The limit bounds the memory held for a slow client.
const MAX_FRAME: usize = 32 * 1024;

/// The interval of signs of life. Proxies close idle connections, and a model may reason for minutes.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Builds the response to a streamed request.
pub fn response(entry: &Entry, source: Box<dyn EventSource>, cut: CancellationToken) -> Response {
    let body = SseBody {
        source,
        heartbeat: Box::pin(sleep(HEARTBEAT)),
        armed: false,
        entry: entry.clone(),
        cut: Box::pin(cut.cancelled_owned()),
        done: false,
    };
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    let events = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, events);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Keeps nginx from buffering the events.
    let no = HeaderValue::from_static("no");
    headers.insert(HeaderName::from_static("x-accel-buffering"), no);
    response
}

struct SseBody {
    source: Box<dyn EventSource>,
    /// The time of the next sign of life; runs only while `armed`.
    heartbeat: Pin<Box<Sleep>>,
    armed: bool,
    entry: Entry,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    done: bool,
}

impl SseBody {
    /// Returns true if nothing was sent for the interval of [`HEARTBEAT`].
    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.armed {
            self.armed = true;
            self.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        }
        let is_idle = self.heartbeat.as_mut().poll(cx).is_ready();
        self.armed = !is_idle;
        is_idle
    }

    fn fail(&mut self, error: &Error) {
        self.entry.set_error(error);
        self.source.fail(error);
        self.done = true;
    }
}

impl http_body::Body for SseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while !self.done && self.source.written().len() < MAX_FRAME {
            match self.source.poll_event(cx) {
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(Some(Err(error))) => self.fail(&error),
                Poll::Ready(None) => self.done = true,
                Poll::Pending if self.cut.as_mut().poll(cx).is_ready() => {
                    self.source.cut();
                    self.fail(&shed::shutting_down());
                }
                Poll::Pending => break,
            }
        }
        let written = self.source.written().split().freeze();
        if !written.is_empty() {
            self.armed = false;
            return Poll::Ready(Some(Ok(Frame::data(written))));
        }
        if self.done {
            return Poll::Ready(None);
        }
        if self.is_idle(cx) {
            self.source.heartbeat();
            let written = self.source.written().split().freeze();
            return Poll::Ready(Some(Ok(Frame::data(written))));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http_body_util::BodyExt;

    use super::*;

    /// Emits one event, then stays pending.
    struct OneEvent(BytesMut, bool);

    impl EventSource for OneEvent {
        fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
            if std::mem::replace(&mut self.1, true) {
                return Poll::Pending;
            }
            self.0.extend_from_slice(b"data: {}\n\n");
            Poll::Ready(Some(Ok(())))
        }

        fn fail(&mut self, _: &Error) {}

        fn cut(&mut self) {}

        fn written(&mut self) -> &mut BytesMut {
            &mut self.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_stream_sends_keep_alive_comments() {
        let entry = Entry::new("/", "GET", None);
        let source = Box::new(OneEvent(BytesMut::new(), false));
        let response = response(&entry, source, CancellationToken::new());
        let mut body = response.into_body();
        let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(next().await, &b"data: {}\n\n"[..]);
        let began = Instant::now();
        for beats in 1..=3 {
            assert_eq!(next().await, &b": keep-alive\n\n"[..]);
            assert_eq!(began.elapsed().as_secs(), beats * HEARTBEAT.as_secs());
        }
    }
}
