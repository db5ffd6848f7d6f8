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
    money::Usage,
    operation::chat::Chunk,
    upstream::{BilledError, collected, failure},
};

/// Time to wait, in the background, for the end of the body after a complete reply. Reading the body to its end lets the
/// connection be reused.
const BODY_END_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes that are read after a complete reply.
const MAX_REST: usize = 64 << 10;

/// Time to wait for the `metadata` event, which carries the usage, after `messageStop`.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// How many times the idle timeout a stream may take for events that carry nothing. Services send such events while a model
/// is busy, and a broken one may send them for ever.
const MAX_QUIET: u32 = 5;

/// The most bytes of a stream; more than any answer has, even with an event for each token.
const MAX_STREAM_BYTES: usize = 256 << 20;

/// The code of a stream that carries nothing for too long.
const IDLE: &str = "upstream_idle";

/// How long a stream may carry nothing.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub limit: Duration,
    /// The client has asked for less than the model's limit.
    pub is_own: bool,
}

/// A stream of chunks that ends with exactly one error if the message is incomplete.
pub struct EventStream {
    body: SdkBody,
    decoder: Box<dyn StreamDecoder>,
    ready: VecDeque<Chunk>,
    idle: Idle,
    /// Runs only while the body has nothing to read.
    timer: Pin<Box<Sleep>>,
    /// Whether `timer` is running.
    armed: bool,
    /// When the stream began to carry nothing.
    quiet_since: Option<Instant>,
    /// The output when `quiet_since` was checked last, in tokens. Not all output becomes chunks.
    output: u64,
    received: usize,
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

    /// Reports whether `error`, with which the stream has ended, comes from the client's own time limit.
    pub fn is_own_limit(&self, error: &Error) -> bool {
        self.idle.is_own && error.code() == Some(IDLE)
    }

    /// Opens a stream and waits for its first chunk. The caller's deadline bounds the wait; `idle`
    /// bounds the gaps after the first chunk.
    ///
    /// # Errors
    /// If the stream fails or ends before the first chunk. The error has the usage of the stream.
    pub async fn open(
        body: SdkBody,
        decoder: Box<dyn StreamDecoder>,
        idle: Idle,
        tasks: TaskTracker,
    ) -> Result<Self, BilledError> {
        let mut stream = Self {
            body,
            decoder,
            ready: VecDeque::new(),
            idle,
            timer: Box::pin(sleep(idle.limit)),
            armed: false,
            quiet_since: None,
            output: 0,
            received: 0,
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
            Some(Err(error)) => Err(BilledError::new(error, stream.decoder.estimate())),
            None => Err(failure::truncated("the stream is empty").into()),
        }
    }

    /// Sets the ticket that the usage of the stream settles.
    pub fn set_ticket(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// The usage of the stream so far, as far as it is known.
    pub fn estimate(&self) -> Usage {
        self.decoder.estimate()
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
                    self.received = self.received.saturating_add(data.len());
                    if self.received > MAX_STREAM_BYTES {
                        return Poll::Ready(self.end(Some(failure::too_large(MAX_STREAM_BYTES))));
                    }
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
        let (stopped, idle) = (self.decoder.is_stopped(), self.idle.limit);
        if !self.started && !stopped {
            // The call's deadline bounds the wait for the first chunk.
            return Poll::Pending;
        }
        if !self.armed {
            self.armed = true;
            let timeout = match stopped {
                true => METADATA_TIMEOUT,
                false => idle,
            };
            let now = Instant::now();
            let quiet_until = *self.quiet_since.get_or_insert(now) + idle * MAX_QUIET;
            let deadline = (now + timeout.min(idle)).min(quiet_until);
            self.timer.as_mut().reset(deadline);
        }
        std::task::ready!(self.timer.as_mut().poll(cx));
        if stopped {
            return Poll::Ready(self.end(None));
        }
        let now = Instant::now();
        let most = idle * MAX_QUIET;
        let is_quiet = self.quiet_since.is_some_and(|since| since + most <= now);
        let output = self.decoder.estimate().output;
        if is_quiet && output > self.output {
            self.output = output;
            self.quiet_since = Some(now);
            self.armed = false;
            return Poll::Ready(Ok(()));
        }
        let (missing, limit) = match is_quiet {
            true => ("part of the answer", most),
            false => ("data", idle),
        };
        let limit = limit.as_secs_f64();
        let whose = match self.idle.is_own {
            true => " (the request's own limit)",
            false => "",
        };
        let error = Error::new(
            Kind::UpstreamTimeout,
            format!("Bedrock sent no {missing} for {limit} s{whose}; the answer is incomplete."),
        )
        .with_code(IDLE);
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
                self.quiet_since = None;
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
