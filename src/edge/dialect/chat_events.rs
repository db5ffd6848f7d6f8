//! Streams of a chat as events of any dialect that has chats.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use futures_util::Stream;

use super::{EventSource, HEARTBEAT};
use crate::{
    error::Error,
    openai::chat::StreamOptions,
    operation::chat::{ChoiceChunk, ChunkStream},
};

/// What a client wants in the last chunk of its stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastChunk {
    /// The usage of the call.
    pub usage: bool,
    /// The warnings of the call. Headers lack those about the end of the answer.
    pub warnings: bool,
}

impl LastChunk {
    /// Returns what `options` ask for.
    pub fn of(options: Option<&StreamOptions>) -> Self {
        let has = |member: fn(&StreamOptions) -> Option<bool>| {
            options.and_then(member).unwrap_or_default()
        };
        Self {
            usage: has(|options| options.include_usage),
            warnings: has(|options| options.include_warnings),
        }
    }
}

/// Writes the chunks of a streamed chat as the events of one dialect.
pub trait EventWriter: Send {
    /// Writes the events of one chunk.
    fn chunk(&mut self, chunk: &ChoiceChunk);

    /// Writes the error event that ends a failed stream.
    fn error(&mut self, error: &Error);

    /// Returns why the answer, which has ended, is of no use to the client. The stream then ends with this error.
    fn failure(&mut self) -> Option<Error> {
        None
    }

    /// Writes the end of a complete stream.
    fn done(&mut self);

    /// Writes what keeps an idle stream alive.
    fn heartbeat(&mut self) {
        self.written().extend_from_slice(HEARTBEAT);
    }

    /// Returns the buffer of written events; the caller takes its content.
    fn written(&mut self) -> &mut BytesMut;
}

/// A streamed chat, written by `W`.
pub struct ChatEvents<W> {
    stream: ChunkStream,
    writer: W,
}

impl<W: EventWriter> ChatEvents<W> {
    /// Creates the events of `stream`.
    pub fn new(stream: ChunkStream, writer: W) -> Self {
        Self { stream, writer }
    }
}

impl<W: EventWriter> EventSource for ChatEvents<W> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(chunk)) => {
                self.writer.chunk(&chunk);
                Some(Ok(()))
            }
            Some(Err(error)) => Some(Err(error)),
            None => match self.writer.failure() {
                Some(error) => Some(Err(error)),
                None => {
                    self.writer.done();
                    None
                }
            },
        })
    }

    fn fail(&mut self, error: &Error) {
        self.writer.error(error);
    }

    fn heartbeat(&mut self) {
        self.writer.heartbeat();
    }

    fn cut(&mut self) {
        self.stream.cut();
    }

    fn written(&mut self) -> &mut BytesMut {
        self.writer.written()
    }
}
