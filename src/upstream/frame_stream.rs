//! Reads a streamed reply frame by frame, so that a stream that breaks ends between two frames.

use std::{future::pending, sync::Arc, time::Duration};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{
    Frame, FrameReader, collected, encode_frame, failure,
    passthrough::{count::Count, meter::Meter},
};
use crate::{
    call::Ticket,
    error::{Error, Kind},
    operation::passthrough::Piece,
};

/// Time to wait, in the background, for the end of the body after a complete reply. Reading the body to its end lets the
/// connection be reused.
const BODY_END_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes that are read after a complete reply.
const MAX_REST: usize = 64 << 10;

/// The frames of a reply. The last item is the frame that reports the usage, or an error.
pub struct FrameStream {
    body: SdkBody,
    frames: FrameReader,
    meter: Arc<Meter>,
    count: Count,
    idle: Duration,
    /// Settled with the reported usage. A stream that breaks counts as lost.
    ticket: Option<Ticket>,
    done: bool,
    tasks: TaskTracker,
}

impl FrameStream {
    /// Creates the frames of a reply. `idle` bounds the gaps after the first.
    pub fn new(
        (headers, body): (&HeaderMap, SdkBody),
        meter: Arc<Meter>,
        idle: Duration,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            body,
            frames: FrameReader::default(),
            count: meter.stream(headers),
            meter,
            idle,
            ticket: None,
            done: false,
            tasks,
        }
    }

    /// Waits for the first frame, for as long as the call may take.
    ///
    /// # Errors
    /// If the stream fails or ends before.
    pub async fn first(&mut self) -> Result<Piece, Error> {
        self.read(None).await
    }

    /// Sets the ticket of the request, whose first frame has arrived.
    pub fn set_ticket(&mut self, ticket: Ticket, first: &Piece) {
        match first.usage {
            Some(usage) => ticket.used(usage),
            None => self.ticket = Some(ticket),
        }
    }

    /// Returns the next frame. `None` after the last item.
    pub async fn next(&mut self) -> Option<Result<Piece, Error>> {
        if self.done {
            return None;
        }
        let item = self.read(Some(self.idle)).await;
        match &item {
            Ok(Piece {
                usage: Some(usage), ..
            }) => {
                if let Some(ticket) = self.ticket.take() {
                    ticket.used(*usage);
                }
            }
            Ok(_) => {}
            Err(_) => {
                self.done = true;
                self.ticket = None;
            }
        }
        Some(item)
    }

    async fn read(&mut self, idle: Option<Duration>) -> Result<Piece, Error> {
        loop {
            if let Some((frame, bytes)) = self.frames.next_raw().map_err(failure::from_frame)? {
                let (event_type, payload) = match frame {
                    Frame::Event {
                        event_type,
                        payload,
                    } => (event_type, payload),
                    Frame::Exception {
                        exception_type,
                        payload,
                    } => return Err(failure::from_exception(&exception_type, &payload)),
                    Frame::Error { code, message } => {
                        return Err(failure::from_error_frame(&code, &message));
                    }
                };
                let usage = self.count.event(&event_type, &payload)?;
                if usage.is_some() {
                    self.leave();
                }
                let shown = (event_type == "metadata").then(|| self.meter.shown(&payload));
                let bytes = shown
                    .flatten()
                    .map_or(bytes, |shown| event(&event_type, &shown));
                return Ok(Piece { bytes, usage });
            }
            let limit = async {
                match idle {
                    Some(idle) => tokio::time::sleep(idle).await,
                    None => pending().await,
                }
            };
            let next = tokio::select! {
                next = self.body.frame() => next,
                () = limit => return Err(idle_error(self.idle)),
            };
            match next {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.frames.push(data);
                    }
                }
                Some(Err(error)) => return Err(failure::truncated(error.to_string())),
                None => {
                    return Err(failure::truncated("the stream ended without its usage"));
                }
            }
        }
    }

    /// Ends a complete reply. The client does not wait for the end of the body, which is read in the background.
    fn leave(&mut self) {
        self.done = true;
        let rest = std::mem::replace(&mut self.body, SdkBody::taken());
        self.tasks.spawn(async move {
            // Only the connection benefits, so a failure does not matter.
            let _ = timeout(BODY_END_TIMEOUT, collected(rest, MAX_REST)).await;
        });
    }
}

fn event(event_type: &str, payload: &[u8]) -> Bytes {
    let headers = [
        (":event-type", event_type),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    encode_frame(&headers, payload)
}

fn idle_error(idle: Duration) -> Error {
    let idle = idle.as_secs_f64();
    Error::new(
        Kind::UpstreamTimeout,
        format!("Bedrock sent no data for {idle} s; the answer is incomplete."),
    )
    .with_code("upstream_idle")
}
