//! Decodes streams of the endpoints, which are server-sent events.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use super::{
    error::{NativeError, malformed},
    sse::{Event, SseReader},
};
use crate::{
    call::Warnings,
    error::Error,
    money::Usage,
    operation::chat::Chunk,
    upstream::{
        chat::decoder::StreamDecoder,
        converse::{ReplyPlan, repair::StreamCheck},
        failure,
        halves::Halves,
    },
};

/// Translates the events of a stream into chunks.
pub trait EventTranslator: Send {
    /// Adds the data of an event.
    ///
    /// # Errors
    /// If it cannot be parsed, or reports a failure.
    fn event(&mut self, data: &[u8], out: &mut VecDeque<Chunk>) -> Result<(), Error>;

    /// Returns whether the service has said why the answer ended. Its usage may still follow.
    fn is_finished(&self) -> bool;

    /// Returns whether nothing can follow but the end of the stream.
    fn has_final_usage(&self) -> bool;

    /// Returns whether the end of the answer was emitted.
    fn is_ended(&self) -> bool;

    /// Emits the end of the answer.
    ///
    /// # Errors
    /// If its reason means that there is no answer.
    fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error>;

    /// Estimates the usage of an answer that broke off.
    fn estimate(&self) -> Usage;
}

/// Decodes server-sent events into chunks. The end is emitted once nothing can follow, so that a stream that breaks after
/// the finish reason is not taken for a complete one.
pub struct NativeStreamDecoder<T> {
    events: SseReader,
    halves: Halves,
    translator: T,
    check: StreamCheck,
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
}

impl<T: EventTranslator> NativeStreamDecoder<T> {
    pub fn new(translator: T, plan: Arc<ReplyPlan>, warnings: Warnings) -> Self {
        Self {
            events: SseReader::default(),
            halves: Halves::default(),
            translator,
            check: StreamCheck::default(),
            plan,
            warnings,
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        self.observed(out, |decoder, out| decoder.translator.end(out))
    }

    /// Runs `step` and checks the chunks that it adds.
    fn observed(
        &mut self,
        out: &mut VecDeque<Chunk>,
        step: impl FnOnce(&mut Self, &mut VecDeque<Chunk>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let before = out.len();
        step(self, out)?;
        let new = out.iter().skip(before);
        self.check.observe(new, &self.plan, &self.warnings);
        Ok(())
    }
}

impl<T: EventTranslator> StreamDecoder for NativeStreamDecoder<T> {
    fn push(&mut self, data: Bytes) {
        self.events.push(&data);
    }

    fn decode(&mut self, out: &mut VecDeque<Chunk>) -> Result<bool, Error> {
        let too_long = |_| malformed(&"an event is too long", &[]);
        let Some(Event { name, data }) = self.events.next_event().map_err(too_long)? else {
            return Ok(false);
        };
        if data == b"[DONE]" {
            if self.translator.is_finished() && !self.translator.is_ended() {
                self.finish(out)?;
            }
            return Ok(true);
        }
        if name == b"error" {
            let error = NativeError::read(&data).or_else(|| {
                let whole: Value = serde_json::from_slice(&data).ok()?;
                NativeError::of(&whole)
            });
            return Err(error.unwrap_or_default().into_event_error());
        }
        let data = self.halves.join(&data, &self.warnings);
        self.observed(out, |decoder, out| decoder.translator.event(&data, out))?;
        Ok(true)
    }

    fn has_leftover(&self) -> bool {
        self.events.json().is_none() && self.events.has_leftover()
    }

    fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if let Some(json) = self.events.json() {
            let error = NativeError::read(json).map(NativeError::into_event_error);
            return Err(error.unwrap_or_else(|| malformed(&"not a stream", json)));
        }
        match self.translator.has_final_usage() {
            _ if self.translator.is_ended() => Ok(()),
            true => self.finish(out),
            false => Err(failure::truncated(
                "the stream ended before the end of the answer or its usage",
            )),
        }
    }

    fn is_stopped(&self) -> bool {
        self.translator.is_finished()
    }

    fn is_complete(&self) -> bool {
        self.translator.is_ended()
    }

    fn estimate(&self) -> Usage {
        self.translator.estimate()
    }
}
