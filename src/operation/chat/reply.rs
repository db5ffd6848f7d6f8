//! Replies to chats. A whole reply consists of the same chunks as a stream, so that the two cannot differ.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt, future::BoxFuture, stream};
use serde_json::Value;

use super::{
    Chat,
    chunk::{BoxChunks, ChoiceChunk, Chunk},
    limited::Limited,
};
use crate::{
    call::Trace,
    error::Error,
    money::{Cost, Usage},
    openai::completion::FinishReason,
    operation::{CallEnd, EndReason, OutputLimit, Reply},
};

/// The most bytes that are read of a stream whose client has disconnected.
const MAX_DRAINED: usize = 16 << 20;

/// The reply to a chat.
#[derive(Debug)]
pub enum ChatReply {
    Whole(WholeReply),
    Stream(ChunkStream),
}

/// A complete reply.
#[derive(Debug)]
pub struct WholeReply {
    /// The chunks of each choice, in order, without `Usage` and `Guardrail`.
    pub choices: Vec<Vec<Chunk>>,
    pub usage: Usage,
    /// The guardrail trace, if the client may see it.
    pub guardrail: Option<Value>,
}

impl ChatReply {
    /// Returns the reply to a chat that a guardrail blocks before the model is called.
    pub fn blocked(chat: &Chat, message: String, trace: &Trace) -> Self {
        let usage = Usage {
            cost: Some(Cost::default()),
            ..Usage::default()
        };
        let chunks = [
            Chunk::Content(message),
            Chunk::Blocked,
            Chunk::Finish(FinishReason::ContentFilter),
        ];
        let choices = 0..chat.choices();
        if !chat.stream {
            return Self::Whole(WholeReply {
                choices: choices.map(|_| chunks.to_vec()).collect(),
                usage: trace.spending().told(usage),
                guardrail: None,
            });
        }
        let each =
            choices.flat_map(|choice| chunks.clone().map(|chunk| ChoiceChunk { choice, chunk }));
        let last = ChoiceChunk {
            choice: 0,
            chunk: Chunk::Usage(usage),
        };
        let items: Vec<_> = each.chain([last]).map(Ok).collect();
        Self::Stream(ChunkStream::new(stream::iter(items), trace.clone()))
    }

    /// Replaces every chunk of every choice.
    #[must_use]
    pub fn map_chunks(
        self,
        mut change: impl FnMut(ChoiceChunk) -> ChoiceChunk + Send + 'static,
    ) -> Self {
        match self {
            Self::Whole(mut reply) => {
                for (choice, chunks) in (0..).zip(&mut reply.choices) {
                    for chunk in chunks {
                        // A placeholder, replaced on the next line.
                        let old = std::mem::replace(chunk, Chunk::Content(String::new()));
                        *chunk = change(ChoiceChunk { choice, chunk: old }).chunk;
                    }
                }
                Self::Whole(reply)
            }
            Self::Stream(stream) => {
                Self::Stream(stream.wrap(|inner| inner.map(move |item| item.map(&mut change))))
            }
        }
    }

    /// Calls `f` with every chunk of every choice.
    #[must_use]
    pub fn inspect(self, mut f: impl FnMut(&ChoiceChunk) + Send + 'static) -> Self {
        self.map_chunks(move |chunk| {
            f(&chunk);
            chunk
        })
    }
}

impl Reply for ChatReply {
    fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self {
        match self {
            Self::Whole(reply) => {
                let finish = reply
                    .choices
                    .first()
                    .and_then(|chunks| finish_reason(chunks));
                f(&CallEnd {
                    reason: EndReason::Complete,
                    usage: Some(reply.usage),
                    finish_reason: finish.map(FinishReason::as_str),
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
            Self::Whole(reply) => Some(reply.usage),
            Self::Stream(_) => None,
        }
    }

    fn is_filtered(&self) -> bool {
        let Self::Whole(reply) = self else {
            return false;
        };
        let reason = |chunks: &Vec<Chunk>| finish_reason(chunks);
        let mut reasons = reply.choices.iter().map(reason);
        reasons.any(|reason| reason == Some(FinishReason::ContentFilter))
    }

    fn limited_by(self, limit: Box<dyn OutputLimit>) -> Self {
        match self {
            Self::Stream(stream) => {
                let trace = stream.trace.clone();
                Self::Stream(stream.wrap(|inner| Limited::new(inner, limit, trace)))
            }
            whole @ Self::Whole(_) => whole,
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

/// Returns the `finish_reason` of a choice, if it has ended.
pub fn finish_reason(chunks: &[Chunk]) -> Option<FinishReason> {
    chunks.iter().rev().find_map(|chunk| match chunk {
        Chunk::Finish(reason) => Some(*reason),
        _ => None,
    })
}

type Callback = Box<dyn FnOnce(&CallEnd) + Send>;

/// A streamed reply. An error is its last item.
pub struct ChunkStream {
    inner: BoxChunks,
    trace: Trace,
    on_end: Vec<Callback>,
    /// Receives a future that reads the rest if the stream is dropped before its end.
    keep: Option<Box<dyn FnOnce(BoxFuture<'static, ()>) + Send>>,
    usage: Option<Usage>,
    finish_reason: Option<FinishReason>,
    ended: bool,
    /// How the stream failed, while the rest of it is still read.
    failed: Option<EndReason>,
    /// The client has disconnected, and the gateway reads the rest.
    drained: bool,
}

impl ChunkStream {
    /// Creates a stream of `inner`. The side costs recorded in `trace` are added to its usage.
    pub fn new(
        inner: impl Stream<Item = Result<ChoiceChunk, Error>> + Send + 'static,
        trace: Trace,
    ) -> Self {
        Self {
            inner: Box::pin(inner),
            trace,
            on_end: Vec::new(),
            keep: None,
            usage: None,
            finish_reason: None,
            ended: false,
            failed: None,
            drained: false,
        }
    }

    /// Records that the gateway ends the stream early. Drop it afterwards.
    pub fn cut(&mut self) {
        self.end(EndReason::Failed("cut"));
    }

    /// Wraps the inner stream. The callbacks stay outermost.
    pub fn wrap<S>(mut self, wrapper: impl FnOnce(BoxChunks) -> S) -> Self
    where
        S: Stream<Item = Result<ChoiceChunk, Error>> + Send + 'static,
    {
        let inner = std::mem::replace(&mut self.inner, Box::pin(futures_util::stream::empty()));
        self.inner = Box::pin(wrapper(inner));
        self
    }

    fn end(&mut self, reason: EndReason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.keep = None;
        // The inner stream records its cost when it is dropped, and the callbacks read it.
        self.inner = Box::pin(futures_util::stream::empty());
        let reason = match self.failed.unwrap_or(reason) {
            EndReason::Complete if self.drained => EndReason::Drained,
            EndReason::ClientGone if self.drained => EndReason::Failed("cut"),
            other => other,
        };
        let end = CallEnd {
            reason,
            usage: self.usage,
            finish_reason: self.finish_reason.map(FinishReason::as_str),
        };
        // Innermost first: a middleware sees the end after everything that it wraps.
        for callback in std::mem::take(&mut self.on_end) {
            callback(&end);
        }
    }

    /// Ends the stream after an error. What other answers of the same call still send is read in the
    /// background first, because it is billed.
    fn fail(&mut self, reason: EndReason, cx: &mut Context<'_>) {
        while let Poll::Ready(item) = self.inner.as_mut().poll_next(cx) {
            if item.is_none() {
                return self.end(reason);
            }
        }
        match self.keep.take() {
            Some(keep) => {
                self.failed = Some(reason);
                keep(Box::pin(drain(self.take())));
            }
            None => self.end(reason),
        }
    }

    /// Moves the stream out of `self`, so that the gateway can read the rest.
    fn take(&mut self) -> Self {
        let mut rest = Self::new(futures_util::stream::empty(), self.trace.clone());
        std::mem::swap(&mut rest, self);
        // The callbacks have moved: dropping `self` must not report an end.
        self.ended = true;
        rest.drained = true;
        rest.trace.set_client_gone();
        rest
    }
}

impl Stream for ChunkStream {
    type Item = Result<ChoiceChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut item = std::task::ready!(self.inner.as_mut().poll_next(cx));
        match &mut item {
            Some(Ok(ChoiceChunk {
                chunk: Chunk::Usage(usage),
                ..
            })) => {
                *usage = self.trace.spending().told(*usage);
                self.usage = Some(*usage);
            }
            Some(Ok(ChoiceChunk {
                chunk: Chunk::Finish(reason),
                ..
            })) => {
                let reason = *reason;
                self.finish_reason.get_or_insert(reason);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let reason = EndReason::Failed(error.break_label());
                self.fail(reason, cx);
            }
            None => self.end(EndReason::Complete),
        }
        Poll::Ready(item)
    }
}

impl Drop for ChunkStream {
    fn drop(&mut self) {
        if let Some(keep) = self.keep.take().filter(|_| !self.ended) {
            keep(Box::pin(drain(self.take())));
        } else {
            self.end(EndReason::ClientGone);
        }
    }
}

/// Reads a stream to its end to learn its usage.
async fn drain(mut stream: ChunkStream) {
    let mut bytes = 0;
    while let Some(item) = stream.next().await {
        bytes += item.map_or(0, |item| item.chunk.weight());
        if bytes > MAX_DRAINED {
            break;
        }
    }
}

impl fmt::Debug for ChunkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
