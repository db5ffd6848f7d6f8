//! Chunks as server-sent events. A stream that breaks ends with one error event and without `[DONE]`.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http_body::Frame;
use serde::Serialize;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{access_log::Entry, encode, rescue, shed};
use crate::{
    call::{Chunk, ChunkStream},
    error::Error,
    openai::{
        chat::ChatRequest,
        completion::{Delta, FunctionDelta, FunctionKind, ToolCallDelta},
    },
};

/// What is ready at once goes out at once, up to this; more would hold a slow client's memory.
const MAX_FRAME: usize = 32 * 1024;

/// The reply to a streamed request.
pub fn response(entry: &Entry, request: &ChatRequest, stream: ChunkStream, cut: CancellationToken) -> Response {
    let writer =
        SseWriter::new(&encode::completion_id(entry), encode::created(), &request.model, request.include_usage());
    let body = SseBody { stream, writer, entry: entry.clone(), cut: Box::pin(cut.cancelled_owned()), done: false };
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would gather the events otherwise.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Writes OpenAI's chunks. What all of them share is rendered once.
pub struct SseWriter {
    out: BytesMut,
    /// `data: {…,"model":"…",`
    head: Vec<u8>,
    include_usage: bool,
    begun: bool,
}

impl SseWriter {
    /// `created` in Unix seconds; `include_usage` as in `stream_options`.
    pub fn new(id: &str, created: u64, model: &str, include_usage: bool) -> Self {
        #[derive(Serialize)]
        struct Head<'a> {
            id: &'a str,
            object: &'static str,
            created: u64,
            model: &'a str,
        }
        let head = Head { id, object: "chat.completion.chunk", created, model };
        let mut rendered = b"data: ".to_vec();
        // Strings and numbers cannot fail to be written.
        rendered.extend(serde_json::to_vec(&head).unwrap_or_default());
        if let Some(brace) = rendered.last_mut() {
            *brace = b',';
        }
        Self { out: BytesMut::new(), head: rendered, include_usage, begun: false }
    }

    /// Adds one chunk; the role goes before the first.
    pub fn chunk(&mut self, chunk: &Chunk) {
        if !self.begun {
            self.begun = true;
            self.choice(br#"{"role":"assistant","content":"","refusal":null}"#.as_slice(), None);
        }
        match chunk {
            Chunk::Content(text) => self.delta(&Delta::Content(text)),
            Chunk::ReasoningContent(text) => self.delta(&Delta::ReasoningContent(text)),
            Chunk::ToolCall { index, id, name } => self.delta(&Delta::ToolCalls([ToolCallDelta {
                index: *index,
                id: Some(id),
                kind: Some(FunctionKind::Function),
                function: FunctionDelta { name: Some(name), arguments: "" },
            }])),
            Chunk::ToolArguments { index, fragment } => self.delta(&Delta::ToolCalls([ToolCallDelta {
                index: *index,
                id: None,
                kind: None,
                function: FunctionDelta { name: None, arguments: fragment },
            }])),
            Chunk::Finish(reason) => self.choice(b"{}".as_slice(), Some(reason.as_str())),
            Chunk::Usage(usage) if self.include_usage => {
                self.out.put_slice(&self.head);
                self.out.put_slice(br#""choices":[],"usage":"#);
                self.json(&encode::usage(usage));
                self.out.put_slice(b"}\n\n");
            }
            Chunk::Usage(_) => {}
        }
    }

    /// The one error event of a stream that broke.
    pub fn error(&mut self, error: &Error) {
        self.out.put_slice(b"data: ");
        self.out.put_slice(&rescue::envelope(error));
        self.out.put_slice(b"\n\n");
    }

    /// The end of a stream that is complete.
    pub fn done(&mut self) {
        self.out.put_slice(b"data: [DONE]\n\n");
    }

    /// What was written since the last call.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn delta(&mut self, delta: &Delta<'_>) {
        self.out.put_slice(&self.head);
        self.out.put_slice(br#""choices":[{"index":0,"delta":"#);
        self.json(delta);
        self.tail(None);
    }

    fn choice(&mut self, delta: &[u8], finish_reason: Option<&str>) {
        self.out.put_slice(&self.head);
        self.out.put_slice(br#""choices":[{"index":0,"delta":"#);
        self.out.put_slice(delta);
        self.tail(finish_reason);
    }

    fn tail(&mut self, finish_reason: Option<&str>) {
        self.out.put_slice(br#","logprobs":null,"finish_reason":"#);
        match finish_reason {
            Some(reason) => {
                self.out.put_u8(b'"');
                self.out.put_slice(reason.as_bytes());
                self.out.put_u8(b'"');
            }
            None => self.out.put_slice(b"null"),
        }
        self.out.put_slice(if self.include_usage { br#"}],"usage":null}"#.as_slice() } else { b"}]}" });
        self.out.put_slice(b"\n\n");
    }

    fn json(&mut self, value: &impl Serialize) {
        // Into memory, from plain structs: neither can fail.
        let _ = serde_json::to_writer((&mut self.out).writer(), value);
    }
}

struct SseBody {
    stream: ChunkStream,
    writer: SseWriter,
    entry: Entry,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    done: bool,
}

impl SseBody {
    fn fail(&mut self, error: &Error) {
        self.entry.error(error);
        self.writer.error(error);
        self.done = true;
    }
}

impl http_body::Body for SseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while !self.done && self.writer.len() < MAX_FRAME {
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.writer.chunk(&chunk),
                Poll::Ready(Some(Err(error))) => self.fail(&error),
                Poll::Ready(None) => {
                    self.writer.done();
                    self.done = true;
                }
                Poll::Pending if self.cut.as_mut().poll(cx).is_ready() => {
                    let error = shed::shutting_down();
                    self.stream.cut();
                    self.fail(&error);
                }
                Poll::Pending => break,
            }
        }
        if !self.writer.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.writer.take()))));
        }
        if self.done { Poll::Ready(None) } else { Poll::Pending }
    }
}
