//! Decodes the byte stream of a reply into the chunks of an answer.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use aws_smithy_types::body::SdkBody;
use futures_util::{Stream, StreamExt};
use http_body::Body as _;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::decoder::StreamDecoder;
use crate::{
    call::Ticket,
    error::{Error, Kind},
    operation::chat::Chunk,
    upstream::{collected, failure},
};

/// Time to wait, in the background, for the end of the body after a complete reply. Reading the body to its end lets the
/// connection be reused.
const BODY_END_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes that are read after a complete reply.
const MAX_REST: usize = 64 << 10;

/// Time to wait for the `metadata` event, which carries the usage, after `messageStop`.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// A stream of chunks that ends with exactly one error if the message is incomplete.
pub struct EventStream {
    body: SdkBody,
    decoder: Box<dyn StreamDecoder>,
    ready: VecDeque<Chunk>,
    idle: Duration,
    /// Runs only while the body has nothing to read.
    timer: Pin<Box<Sleep>>,
    /// Whether `timer` is running.
    armed: bool,
    /// Whether the first chunk has arrived.
    started: bool,
    done: bool,
    /// Settled with the usage that the service reports, or with an estimate from the chunks so far.
    ticket: Option<Ticket>,
    /// Reads what follows a complete reply.
    tasks: TaskTracker,
}

impl EventStream {
    /// Reads the stream to its end, which settles its usage.
    pub async fn drain(mut self) {
        while self.next().await.is_some() {}
    }

    /// Opens a stream and waits for its first chunk. The caller's deadline bounds the wait; `idle`
    /// bounds the gaps after the first chunk.
    ///
    /// # Errors
    /// If the stream fails or ends before the first chunk.
    pub async fn open(
        body: SdkBody,
        decoder: Box<dyn StreamDecoder>,
        idle: Duration,
        tasks: TaskTracker,
    ) -> Result<Self, Error> {
        let mut stream = Self {
            body,
            decoder,
            ready: VecDeque::new(),
            idle,
            timer: Box::pin(sleep(idle)),
            armed: false,
            started: false,
            done: false,
            ticket: None,
            tasks,
        };
        match stream.next().await {
            Some(Ok(first)) => {
                stream.ready.push_front(first);
                stream.started = true;
                Ok(stream)
            }
            Some(Err(error)) => Err(error),
            None => Err(failure::truncated("the stream is empty")),
        }
    }

    /// Sets the ticket that the usage of the stream settles.
    pub fn set_ticket(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// Settles the ticket, once.
    fn settle(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let reported = self.ready.iter().find_map(|chunk| {
            if let Chunk::Usage(usage) = chunk {
                Some(*usage)
            } else {
                None
            }
        });
        ticket.used(reported.unwrap_or_else(|| self.decoder.estimate()));
    }

    /// Decodes one buffered event, or reads from the body if none is complete. `Ready(Ok)` means
    /// that the state changed and the caller must check it again.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.decoder.decode(&mut self.ready) {
            Ok(true) => return Poll::Ready(Ok(())),
            Ok(false) => {}
            Err(error) => return Poll::Ready(self.end(Some(error))),
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.armed = false;
                if let Ok(data) = frame.into_data() {
                    self.decoder.push(data);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(self.end(Some(failure::truncated(error.to_string()))))
            }
            Poll::Ready(None) => {
                let has_leftover = self.decoder.has_leftover();
                Poll::Ready(self.end(
                    has_leftover.then(|| failure::truncated("the stream ended inside a frame")),
                ))
            }
            Poll::Pending => self.wait(cx),
        }
    }

    /// Ends reading. An error after `messageStop` is ignored, because the answer is complete.
    fn end(&mut self, error: Option<Error>) -> Result<(), Error> {
        self.done = true;
        match error {
            Some(error) if !self.decoder.is_stopped() => Err(error),
            _ => self.decoder.end(&mut self.ready),
        }
    }

    /// Ends a complete reply. The client does not wait for the end of the body, which is read in the background.
    fn leave(&mut self, cx: &mut Context<'_>) {
        self.done = true;
        if self.body.is_end_stream() {
            return;
        }
        if let Poll::Ready(None | Some(Err(_))) = Pin::new(&mut self.body).poll_frame(cx) {
            return;
        }
        let rest = std::mem::replace(&mut self.body, SdkBody::taken());
        self.tasks.spawn(async move {
            // Only the connection benefits, so a failure does not matter.
            let _ = timeout(BODY_END_TIMEOUT, collected(rest, MAX_REST)).await;
        });
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.started {
            // The call's deadline bounds the wait for the first chunk.
            return Poll::Pending;
        }
        let stopped = self.decoder.is_stopped();
        if !self.armed {
            self.armed = true;
            let timeout = match stopped {
                true => METADATA_TIMEOUT,
                false => self.idle,
            };
            self.timer
                .as_mut()
                .reset(Instant::now() + timeout.min(self.idle));
        }
        std::task::ready!(self.timer.as_mut().poll(cx));
        if stopped {
            return Poll::Ready(self.end(None));
        }
        let idle = self.idle.as_secs_f64();
        let error = Error::new(
            Kind::UpstreamTimeout,
            format!("Bedrock sent no data for {idle} s; the answer is incomplete."),
        )
        .with_code("upstream_idle");
        Poll::Ready(self.end(Some(error)))
    }
}

impl Stream for EventStream {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(Chunk::Usage(_)) = self.ready.front() {
                self.settle();
            }
            if let Some(chunk) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if !self.done && self.decoder.is_complete() {
                self.leave(cx);
            }
            if self.done {
                return Poll::Ready(None);
            }
            if let Err(error) = std::task::ready!(self.advance(cx)) {
                self.done = true;
                self.settle();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.settle();
    }
}

#[cfg(test)]
mod tests;
