//! The byte stream of ConverseStream as a stream of chunks.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use aws_smithy_types::body::SdkBody;
use futures_util::{Stream, StreamExt};
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    failure,
    frames::{Frame, FrameReader},
};
use crate::{
    call::Chunk,
    error::{Error, Kind},
    translate::StreamTranslator,
};

/// How long a complete message may keep its connection open before we stop waiting for the end of the body, without
/// which the connection could not be used again.
const LINGER: Duration = Duration::from_secs(1);

/// Chunks as they come. Ends with an error, once, if the message is not known to be complete.
pub struct EventStream {
    body: SdkBody,
    frames: FrameReader,
    translator: StreamTranslator,
    ready: VecDeque<Chunk>,
    idle: Duration,
    /// Armed only while nothing is there to be read.
    timer: Pin<Box<Sleep>>,
    armed: bool,
    done: bool,
}

impl EventStream {
    /// Waits for the first chunk.
    ///
    /// # Errors
    /// If the stream fails before it.
    pub async fn open(body: SdkBody, translator: StreamTranslator, idle: Duration) -> Result<Self, Error> {
        let mut stream = Self {
            body,
            frames: FrameReader::default(),
            translator,
            ready: VecDeque::new(),
            idle,
            timer: Box::pin(sleep(idle)),
            armed: false,
            done: false,
        };
        match stream.next().await {
            Some(Ok(first)) => {
                stream.ready.push_front(first);
                Ok(stream)
            }
            Some(Err(error)) => Err(error),
            None => Err(failure::truncated("the stream held nothing")),
        }
    }

    fn take_frame(&mut self, frame: Frame) -> Result<(), Error> {
        match frame {
            Frame::Event { event_type, payload } => self.translator.event(&event_type, &payload, &mut self.ready),
            Frame::Exception { exception_type, payload } => Err(failure::from_exception(&exception_type, &payload)),
            Frame::Error { code, message } => Err(failure::from_error_frame(&code, &message)),
        }
    }

    /// Decodes what is buffered, then reads on. `Ready(Ok)`: something happened, look again.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(frame) = self.frames.next_frame().map_err(failure::from_frame)? {
            return Poll::Ready(self.take_frame(frame));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.armed = false;
                if let Ok(data) = frame.into_data() {
                    self.frames.push(data);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(failure::truncated(error.to_string()))),
            Poll::Ready(None) => {
                self.done = true;
                if self.frames.has_leftover() {
                    return Poll::Ready(Err(failure::truncated("the stream ended inside a frame")));
                }
                Poll::Ready(self.translator.end(&mut self.ready))
            }
            Poll::Pending => self.wait(cx),
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let complete = self.translator.is_complete();
        if !self.armed {
            self.armed = true;
            let patience = if complete { self.idle.min(LINGER) } else { self.idle };
            self.timer.as_mut().reset(Instant::now() + patience);
        }
        std::task::ready!(self.timer.as_mut().poll(cx));
        if complete {
            self.done = true;
            return Poll::Ready(Ok(()));
        }
        let idle = self.idle.as_secs_f64();
        let error =
            Error::new(Kind::UpstreamTimeout, format!("Bedrock sent nothing for {idle} s; the answer is incomplete."))
                .with_code("upstream_idle");
        Poll::Ready(Err(error))
    }
}

impl Stream for EventStream {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if self.done {
                return Poll::Ready(None);
            }
            if let Err(error) = std::task::ready!(self.advance(cx)) {
                self.done = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
