//! The byte stream of a reply as the steps of an answer.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use aws_smithy_types::body::SdkBody;
use futures_util::{Stream, StreamExt};
use http_body::Body as _;
use tokio::time::{Instant, Sleep, sleep};

use super::StreamDecoder;
use crate::{
    call::Ticket,
    error::{Error, Kind},
    operation::chat::Chunk,
    upstream::failure,
};

/// How long a complete message may keep its connection open before we stop waiting for the end of the body, without
/// which the connection could not be used again.
const LINGER: Duration = Duration::from_secs(1);

/// How long usage may come after the end of the message.
const METADATA: Duration = Duration::from_secs(5);

/// Chunks as they come. Ends with an error, once, if the message is not known to be complete.
pub struct EventStream {
    body: SdkBody,
    decoder: Box<dyn StreamDecoder>,
    ready: VecDeque<Chunk>,
    idle: Duration,
    /// Armed only while nothing is there to be read.
    timer: Pin<Box<Sleep>>,
    armed: bool,
    /// The first chunk was there.
    begun: bool,
    done: bool,
    /// Settled with the usage that the service tells, or with what has come.
    ticket: Option<Ticket>,
}

impl EventStream {
    /// Waits for the first chunk, as long as it takes.
    ///
    /// # Errors
    /// If the stream fails before it.
    pub async fn open(
        body: SdkBody,
        decoder: Box<dyn StreamDecoder>,
        idle: Duration,
    ) -> Result<Self, Error> {
        let mut stream = Self {
            body,
            decoder,
            ready: VecDeque::new(),
            idle,
            timer: Box::pin(sleep(idle)),
            armed: false,
            begun: false,
            done: false,
            ticket: None,
        };
        match stream.next().await {
            Some(Ok(first)) => {
                stream.ready.push_front(first);
                stream.begun = true;
                Ok(stream)
            }
            Some(Err(error)) => Err(error),
            None => Err(failure::truncated("the stream held nothing")),
        }
    }

    /// Whom to tell what the stream has cost.
    pub fn account(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// Tells what the stream has cost, once.
    fn tell(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let told = self.ready.iter().find_map(|chunk| {
            if let Chunk::Usage(usage) = chunk {
                Some(*usage)
            } else {
                None
            }
        });
        ticket.used(told.unwrap_or_else(|| self.decoder.estimate()));
    }

    /// Decodes what is buffered, then reads on. `Ready(Ok)`: something happened, look again.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.decoder.decode(&mut self.ready) {
            Ok(true) => return Poll::Ready(Ok(())),
            Ok(false) => {}
            Err(error) => return Poll::Ready(self.ended(Some(error))),
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
                Poll::Ready(self.ended(Some(failure::truncated(error.to_string()))))
            }
            Poll::Ready(None) => {
                let inside = self.decoder.has_leftover();
                Poll::Ready(
                    self.ended(
                        inside.then(|| failure::truncated("the stream ended inside a frame")),
                    ),
                )
            }
            Poll::Pending => self.wait(cx),
        }
    }

    /// No more will be read. What goes wrong behind a complete message takes nothing from it.
    fn ended(&mut self, error: Option<Error>) -> Result<(), Error> {
        self.done = true;
        match error {
            Some(error) if !self.decoder.is_stopped() => Err(error),
            _ => self.decoder.end(&mut self.ready),
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.begun {
            // The wait for the first token is the deadline's.
            return Poll::Pending;
        }
        let stopped = self.decoder.is_stopped();
        if !self.armed {
            self.armed = true;
            let patience = match stopped {
                true if self.decoder.is_complete() => LINGER,
                true => METADATA,
                false => self.idle,
            };
            self.timer
                .as_mut()
                .reset(Instant::now() + patience.min(self.idle));
        }
        std::task::ready!(self.timer.as_mut().poll(cx));
        if stopped {
            return Poll::Ready(self.ended(None));
        }
        let idle = self.idle.as_secs_f64();
        let error = Error::new(
            Kind::UpstreamTimeout,
            format!("Bedrock sent nothing for {idle} s; the answer is incomplete."),
        )
        .with_code("upstream_idle");
        Poll::Ready(self.ended(Some(error)))
    }
}

impl Stream for EventStream {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(Chunk::Usage(_)) = self.ready.front() {
                self.tell();
            }
            if let Some(chunk) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if self.done {
                return Poll::Ready(None);
            }
            if let Err(error) = std::task::ready!(self.advance(cx)) {
                self.done = true;
                self.tell();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.tell();
    }
}
