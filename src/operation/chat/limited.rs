//! A stream that ends early if an [`OutputLimit`] is reached.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::Stream;

use super::chunk::{BoxChunks, ChoiceChunk, Chunk};
use crate::{call::Trace, error::Error, openai::completion::FinishReason, operation::OutputLimit};

/// The approximate size of a token, in bytes.
const TOKEN_BYTES: u64 = 4;

/// Ends every unfinished answer with `finish_reason` `length` when the limit is reached.
pub struct Limited {
    inner: Option<BoxChunks>,
    limit: Box<dyn OutputLimit>,
    trace: Trace,
    /// The bytes of output so far.
    bytes: u64,
    /// The number of chunks with output so far. Each is at least one token.
    pieces: u64,
    /// The answers that have begun and not ended.
    open: Vec<u32>,
    /// A chunk that waits for the limit's decision.
    waiting: Option<Result<ChoiceChunk, Error>>,
    usage_sent: bool,
}

impl Limited {
    pub fn new(inner: BoxChunks, limit: Box<dyn OutputLimit>, trace: Trace) -> Self {
        Self {
            inner: Some(inner),
            limit,
            trace,
            bytes: 0,
            pieces: 0,
            open: Vec::new(),
            waiting: None,
            usage_sent: false,
        }
    }

    fn observe(&mut self, item: &ChoiceChunk) {
        let is_answer = !matches!(item.chunk, Chunk::Usage(_) | Chunk::Guardrail(_));
        if is_answer && !self.open.contains(&item.choice) {
            self.open.push(item.choice);
        }
        let bytes = item.chunk.weight() as u64;
        self.bytes += bytes;
        self.pieces += u64::from(bytes > 0);
        if matches!(item.chunk, Chunk::Finish(_)) {
            self.open.retain(|open| *open != item.choice);
        }
    }

    /// Returns the next chunk after the limit was reached: the end of every open answer, then the usage.
    fn close(&mut self) -> Option<ChoiceChunk> {
        if let Some(choice) = self.open.pop() {
            return Some(ChoiceChunk {
                choice,
                chunk: Chunk::Finish(FinishReason::Length),
            });
        }
        // The inner stream recorded the usage so far when it was dropped.
        let sent = std::mem::replace(&mut self.usage_sent, true);
        let usage = self.trace.spending().total().usage.filter(|_| !sent)?;
        Some(ChoiceChunk {
            choice: 0,
            chunk: Chunk::Usage(usage),
        })
    }
}

impl Stream for Limited {
    type Item = Result<ChoiceChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.waiting.is_none() {
            let Some(inner) = &mut self.inner else {
                return Poll::Ready(self.close().map(Ok));
            };
            let item = ready!(inner.as_mut().poll_next(cx));
            let Some(Ok(chunk)) = &item else {
                return Poll::Ready(item);
            };
            self.observe(chunk);
            self.waiting = item;
        }
        let tokens = self.pieces.max(self.bytes / TOKEN_BYTES);
        if !self.open.is_empty() && !ready!(self.limit.poll_output(cx, tokens)) {
            self.trace
                .warnings()
                .add("finish_reason: 'length' because a budget is spent");
            // Dropping the stream ends the request. The output so far is settled as an estimate.
            self.inner = None;
        }
        Poll::Ready(self.waiting.take())
    }
}
