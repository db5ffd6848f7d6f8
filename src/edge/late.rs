//! Streams that are answered before they begin. Some proxies give up on a response whose first byte takes a minute; with
//! `server.commit_after`, status 200 and comments are sent meanwhile, and an error arrives as an event.

use std::{
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::dialect::{Dialect, EventSource};
use crate::error::Error;

/// An SSE comment, which clients ignore.
const COMMENT: &[u8] = b": waiting\n\n";

/// The events of a stream that may not have begun.
type Beginning = BoxFuture<'static, Result<Box<dyn EventSource>, Error>>;

/// What is known of an answer after a time.
pub enum Answer<T> {
    /// The answer, or the error of it.
    Known(Result<T, Error>),
    /// The events that will come.
    Committed(Box<dyn EventSource>),
}

/// Waits for `answer` for at most `limit`. `events` then turns it into a stream.
pub async fn within<D: Dialect, T: Send + 'static>(
    answer: impl Future<Output = Result<T, Error>> + Send + 'static,
    limit: Duration,
    events: impl FnOnce(T) -> Result<Box<dyn EventSource>, Error> + Send + 'static,
) -> Answer<T> {
    let mut answer = Box::pin(answer);
    match timeout(limit, &mut answer).await {
        Ok(known) => Answer::Known(known),
        Err(_) => Answer::Committed(Box::new(LateEvents {
            beginning: Some(Box::pin(async move { events(answer.await?) })),
            events: None,
            written: BytesMut::from(COMMENT),
            error: D::late_error,
        })),
    }
}

struct LateEvents {
    beginning: Option<Beginning>,
    events: Option<Box<dyn EventSource>>,
    written: BytesMut,
    error: fn(&Error) -> Vec<u8>,
}

impl EventSource for LateEvents {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        if let Some(events) = &mut self.events {
            return events.poll_event(cx);
        }
        let Some(beginning) = &mut self.beginning else {
            return Poll::Ready(None);
        };
        let begun = std::task::ready!(beginning.as_mut().poll(cx));
        self.beginning = None;
        Poll::Ready(Some(begun.map(|events| self.events = Some(events))))
    }

    fn fail(&mut self, error: &Error) {
        self.beginning = None;
        match &mut self.events {
            Some(events) => events.fail(error),
            None => {
                self.written.extend_from_slice(&(self.error)(error));
            }
        }
    }

    fn cut(&mut self) {
        self.beginning = None;
        if let Some(events) = &mut self.events {
            events.cut();
        }
    }

    fn heartbeat(&mut self) {
        match &mut self.events {
            Some(events) => events.heartbeat(),
            None => self.written.extend_from_slice(COMMENT),
        }
    }

    fn written(&mut self) -> &mut BytesMut {
        match &mut self.events {
            Some(events) if self.written.is_empty() => events.written(),
            _ => &mut self.written,
        }
    }
}
