//! Replies to requests of AWS SDKs, as Bedrock sent them.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::BoxFuture, stream};
use http::HeaderMap;

use crate::{
    call::Trace,
    error::Error,
    money::Usage,
    operation::{CallEnd, EndReason, Reply},
};

/// The most bytes that are read of a stream whose client has disconnected.
const MAX_DRAINED: usize = 16 << 20;

/// A reply, as Bedrock sent it.
#[derive(Debug)]
pub enum PassthroughReply {
    Whole(WholePassthrough),
    Stream(PieceStream),
}

/// A whole reply.
#[derive(Debug)]
pub struct WholePassthrough {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// `None` if the service did not report it.
    pub usage: Option<Usage>,
}

/// One frame of a stream.
#[derive(Debug)]
pub struct Piece {
    pub bytes: Bytes,
    /// The usage, in the frame that reports it. It is the last.
    pub usage: Option<Usage>,
}

impl Reply for PassthroughReply {
    fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self {
        match self {
            Self::Whole(reply) => {
                f(&CallEnd {
                    reason: EndReason::Complete,
                    usage: reply.usage,
                    finish_reason: None,
                });
                Self::Whole(reply)
            }
            Self::Stream(mut stream) => {
                stream.on_end.push(Box::new(f));
                Self::Stream(stream)
            }
        }
    }

    fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    fn usage(&self) -> Option<Usage> {
        match self {
            Self::Whole(reply) => reply.usage,
            Self::Stream(_) => None,
        }
    }

    fn kept_by(self, keep: Box<dyn FnOnce(BoxFuture<'static, ()>) + Send>) -> Self {
        match self {
            Self::Stream(mut stream) => {
                stream.keep = Some(keep);
                Self::Stream(stream)
            }
            whole @ Self::Whole(_) => whole,
        }
    }
}

type Callback = Box<dyn FnOnce(&CallEnd) + Send>;

type Pieces = Pin<Box<dyn Stream<Item = Result<Piece, Error>> + Send>>;

/// A streamed reply, frame by frame. An error is its last item.
pub struct PieceStream {
    pub headers: HeaderMap,
    inner: Pieces,
    trace: Trace,
    on_end: Vec<Callback>,
    /// Receives a future that reads the rest if the stream is dropped before its end.
    keep: Option<Box<dyn FnOnce(BoxFuture<'static, ()>) + Send>>,
    usage: Option<Usage>,
    ended: bool,
    /// The client has disconnected, and the gateway reads the rest.
    drained: bool,
}

impl PieceStream {
    /// Creates a stream of `inner`. The side costs recorded in `trace` are added to its usage.
    pub fn new(
        headers: HeaderMap,
        inner: impl Stream<Item = Result<Piece, Error>> + Send + 'static,
        trace: Trace,
    ) -> Self {
        Self {
            headers,
            inner: Box::pin(inner),
            trace,
            on_end: Vec::new(),
            keep: None,
            usage: None,
            ended: false,
            drained: false,
        }
    }

    /// Records that the gateway ends the stream early. Drop it afterwards.
    pub fn cut(&mut self) {
        self.end(EndReason::Failed("cut"));
    }

    fn end(&mut self, reason: EndReason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.keep = None;
        // The inner stream records its cost when it is dropped, and the callbacks read it.
        self.inner = Box::pin(stream::empty());
        let reason = match reason {
            EndReason::Complete if self.drained => EndReason::Drained,
            EndReason::ClientGone if self.drained => EndReason::Failed("cut"),
            other => other,
        };
        let end = CallEnd {
            reason,
            usage: self.usage,
            finish_reason: None,
        };
        // Innermost first: a middleware sees the end after everything that it wraps.
        for callback in std::mem::take(&mut self.on_end) {
            callback(&end);
        }
    }

    /// Moves the stream out of `self`, so that the gateway can read the rest.
    fn take(&mut self) -> Self {
        let mut rest = Self::new(HeaderMap::new(), stream::empty(), self.trace.clone());
        std::mem::swap(&mut rest, self);
        // The callbacks have moved: dropping `self` must not report an end.
        self.ended = true;
        rest.drained = true;
        rest.trace.set_client_gone();
        rest
    }
}

impl Stream for PieceStream {
    type Item = Result<Piece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.inner.as_mut().poll_next(cx));
        match &item {
            Some(Ok(Piece {
                usage: Some(usage), ..
            })) => self.usage = Some(self.trace.spending().told(*usage)),
            Some(Ok(_)) => {}
            Some(Err(error)) => self.end(EndReason::Failed(error.break_label())),
            None => self.end(EndReason::Complete),
        }
        Poll::Ready(item)
    }
}

impl Drop for PieceStream {
    fn drop(&mut self) {
        if let Some(keep) = self.keep.take().filter(|_| !self.ended) {
            keep(Box::pin(drain(self.take())));
        } else {
            self.end(EndReason::ClientGone);
        }
    }
}

/// Reads a stream to its end to learn its usage.
async fn drain(mut stream: PieceStream) {
    let mut bytes = 0;
    while let Some(item) = stream.next().await {
        bytes += item.map_or(0, |piece| piece.bytes.len());
        if bytes > MAX_DRAINED {
            break;
        }
    }
}

impl fmt::Debug for PieceStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceStream").finish_non_exhaustive()
    }
}
