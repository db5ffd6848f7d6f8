//! Finds out whether a client that closed its side still reads. A half-closed connection and a closed one look alike until
//! something is written: then the peer of the closed one answers with a reset.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::server::phase::Phase;

/// The time between the first two probes. Each following one is twice as long.
const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(15);

/// An SSE comment, which clients ignore.
const COMMENT: &[u8] = b":\n\n";

/// When to probe.
pub struct Schedule {
    next: Pin<Box<Sleep>>,
    delay: Duration,
}

impl Schedule {
    /// The first probe is due at once.
    pub fn new() -> Self {
        Self {
            next: Box::pin(sleep(Duration::ZERO)),
            delay: FIRST,
        }
    }

    /// Ready when a probe is due.
    pub fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.next.as_mut().poll(cx));
        self.next.as_mut().reset(Instant::now() + self.delay);
        self.delay = LONGEST.min(self.delay * 2);
        Poll::Ready(())
    }
}

/// A stream of events that writes comments once its client has closed its side.
pub struct ProbedEvents {
    events: Body,
    phase: Phase,
    schedule: Option<Schedule>,
}

impl ProbedEvents {
    pub fn new(events: Body, phase: Phase) -> Self {
        Self {
            events,
            phase,
            schedule: None,
        }
    }
}

impl http_body::Body for ProbedEvents {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.events).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if !this.phase.poll_half_closed(cx) {
            return Poll::Pending;
        }
        let schedule = this.schedule.get_or_insert_with(Schedule::new);
        ready!(schedule.poll_due(cx));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(COMMENT)))))
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.events.size_hint()
    }
}
