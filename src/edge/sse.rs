//! Chunks as server-sent events. A stream that breaks ends with one error event and without `[DONE]`.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
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
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{access_log::Entry, encode, rescue, shed};
use crate::{
    call::{ChoiceChunk, Chunk, ChunkStream, Retrieval},
    error::Error,
    openai::{
        chat::ChatRequest,
        delta::{Delta, FunctionDelta, Indexed, ToolCallDelta},
    },
};

/// What is ready at once goes out at once, up to this; more would hold a slow client's memory.
const MAX_FRAME: usize = 32 * 1024;

/// The reply to a streamed request.
pub fn response(
    entry: &Entry,
    request: &ChatRequest,
    stream: ChunkStream,
    retrieval: Option<&Arc<Retrieval>>,
    cut: CancellationToken,
) -> Response {
    let mut writer = SseWriter::new(
        &encode::completion_id(entry),
        encode::created(),
        &request.model,
        request.include_usage(),
    );
    if let Some(retrieval) = retrieval {
        writer.answers_from(retrieval);
    }
    let body = SseBody {
        stream,
        heartbeat: Box::pin(sleep(HEARTBEAT)),
        armed: false,
        writer,
        entry: entry.clone(),
        cut: Box::pin(cut.cancelled_owned()),
        done: false,
    };
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would gather the events otherwise.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// Writes OpenAI's chunks. What all of them share is rendered once.
pub struct SseWriter {
    out: BytesMut,
    /// `data: {…,"model":"…",`
    head: Vec<u8>,
    include_usage: bool,
    /// `,"kb":{…}`, for the first chunk that carries `finish_reason`; mostly empty.
    kb: Vec<u8>,
    /// One bit a choice; OpenAI knows 128 at most.
    begun: u128,
    /// Entries so far, by choice; mostly none.
    lists: BTreeMap<(u32, List), u32>,
}

/// Lists that come in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    ThinkingBlocks,
    ServerToolBlocks,
    Annotations,
    Images,
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
        let head = Head {
            id,
            object: "chat.completion.chunk",
            created,
            model,
        };
        let mut rendered = b"data: ".to_vec();
        // Strings and numbers cannot fail to be written.
        rendered.extend(serde_json::to_vec(&head).unwrap_or_default());
        if let Some(brace) = rendered.last_mut() {
            *brace = b',';
        }
        Self {
            out: BytesMut::new(),
            head: rendered,
            include_usage,
            kb: Vec::new(),
            begun: 0,
            lists: BTreeMap::new(),
        }
    }

    /// The answer comes from passages, or was to come from them.
    pub fn answers_from(&mut self, retrieval: &Retrieval) {
        self.kb = b",\"kb\":".to_vec();
        // Plain structs and JSON values cannot fail to be written.
        let _ = serde_json::to_writer(&mut self.kb, &encode::kb(retrieval));
    }

    /// Adds one chunk; the role goes before the first of each choice.
    pub fn chunk(&mut self, ChoiceChunk { choice, chunk }: &ChoiceChunk) {
        let choice = *choice;
        match chunk {
            Chunk::Usage(usage) if self.include_usage => {
                self.out.put_slice(&self.head);
                self.out.put_slice(br#""choices":[],"#);
                if let Some(tier) = usage.service_tier {
                    self.out
                        .put_slice(format!("\"service_tier\":\"{tier}\",").as_bytes());
                }
                self.out.put_slice(br#""usage":"#);
                self.json(&encode::usage(usage));
                self.out.put_slice(b"}\n\n");
                return;
            }
            Chunk::Usage(_) => return,
            Chunk::Guardrail(trace) => return self.guardrail(trace),
            _ => {}
        }
        if self.begun & (1 << (choice % 128)) == 0 {
            self.begun |= 1 << (choice % 128);
            self.choice(
                choice,
                br#"{"role":"assistant","content":"","refusal":null}"#.as_slice(),
                None,
            );
        }
        match chunk {
            Chunk::Content(text) => self.delta(choice, &Delta::Content(text)),
            Chunk::CitedContent(content, annotations) => {
                let annotations = self.indexed(choice, List::Annotations, annotations);
                self.delta(
                    choice,
                    &Delta::CitedContent {
                        content,
                        annotations,
                    },
                );
            }
            Chunk::ReasoningContent(text) => self.delta(choice, &Delta::ReasoningContent(text)),
            Chunk::Thinking(block) => {
                let block = self.index(choice, List::ThinkingBlocks, block);
                self.delta(choice, &Delta::ThinkingBlocks([block]));
            }
            Chunk::ServerTool(block) => {
                let block = self.index(choice, List::ServerToolBlocks, block);
                self.delta(choice, &Delta::ServerToolBlocks([block]));
            }
            Chunk::StopSequence(stop) => self.delta(choice, &Delta::StopSequence(stop)),
            Chunk::Annotations(annotations) => {
                let annotations = self.indexed(choice, List::Annotations, annotations);
                self.delta(choice, &Delta::Annotations(annotations));
            }
            Chunk::Image(image) => {
                let image = self.index(choice, List::Images, image);
                self.delta(choice, &Delta::Images([image]));
            }
            Chunk::ToolCall { index, id, name } => {
                let function = Some(FunctionDelta {
                    name: Some(name),
                    arguments: "",
                });
                self.tool_call(
                    choice,
                    ToolCallDelta {
                        id: Some(id),
                        kind: Some("function"),
                        function,
                        ..call(*index)
                    },
                );
            }
            Chunk::ToolArguments { index, fragment } => {
                let function = Some(FunctionDelta {
                    name: None,
                    arguments: fragment,
                });
                self.tool_call(
                    choice,
                    ToolCallDelta {
                        function,
                        ..call(*index)
                    },
                );
            }
            Chunk::CustomToolCall {
                index,
                id,
                call: custom,
            } => {
                let custom = Some(custom);
                self.tool_call(
                    choice,
                    ToolCallDelta {
                        id: Some(id),
                        kind: Some("custom"),
                        custom,
                        ..call(*index)
                    },
                );
            }
            Chunk::FunctionCall(name) => {
                self.delta(
                    choice,
                    &Delta::FunctionCall(FunctionDelta {
                        name: Some(name),
                        arguments: "",
                    }),
                );
            }
            Chunk::FunctionArguments(fragment) => {
                self.delta(
                    choice,
                    &Delta::FunctionCall(FunctionDelta {
                        name: None,
                        arguments: fragment,
                    }),
                );
            }
            Chunk::Finish(reason) => self.choice(choice, b"{}".as_slice(), Some(reason.as_str())),
            Chunk::Guardrail(_) | Chunk::Usage(_) => {}
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

    /// The next entry of a list.
    fn index<T>(&mut self, choice: u32, list: List, entry: T) -> Indexed<T> {
        let next = self.lists.entry((choice, list)).or_default();
        let index = *next;
        *next += 1;
        Indexed { index, entry }
    }

    fn indexed<'a, T>(&mut self, choice: u32, list: List, entries: &'a [T]) -> Vec<Indexed<&'a T>> {
        entries
            .iter()
            .map(|entry| self.index(choice, list, entry))
            .collect()
    }

    fn tool_call(&mut self, choice: u32, call: ToolCallDelta<'_>) {
        self.delta(choice, &Delta::ToolCalls([call]));
    }

    fn delta(&mut self, choice: u32, delta: &Delta<'_>) {
        self.open(choice);
        self.json(delta);
        self.tail(None);
    }

    fn choice(&mut self, choice: u32, delta: &[u8], finish_reason: Option<&str>) {
        self.open(choice);
        self.out.put_slice(delta);
        self.tail(finish_reason);
    }

    fn open(&mut self, choice: u32) {
        self.out.put_slice(&self.head);
        if choice == 0 {
            self.out.put_slice(br#""choices":[{"index":0,"delta":"#);
        } else {
            self.out
                .put_slice(format!("\"choices\":[{{\"index\":{choice},\"delta\":").as_bytes());
        }
    }

    /// An extension, on a chunk without choices.
    fn guardrail(&mut self, trace: &Value) {
        self.out.put_slice(&self.head);
        self.out.put_slice(br#""choices":[],"bedrock_guardrail":"#);
        self.json(trace);
        self.out.put_slice(if self.include_usage {
            br#","usage":null}"#.as_slice()
        } else {
            b"}"
        });
        self.out.put_slice(b"\n\n");
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
        self.out.put_slice(b"}]");
        // It is the same for all choices.
        if finish_reason.is_some() {
            self.out.put_slice(&std::mem::take(&mut self.kb));
        }
        self.out.put_slice(if self.include_usage {
            br#","usage":null}"#.as_slice()
        } else {
            b"}"
        });
        self.out.put_slice(b"\n\n");
    }

    fn json(&mut self, value: &impl Serialize) {
        // Into memory, from plain structs: neither can fail.
        let _ = serde_json::to_writer((&mut self.out).writer(), value);
    }
}

fn call<'a>(index: u32) -> ToolCallDelta<'a> {
    ToolCallDelta {
        index,
        id: None,
        kind: None,
        function: None,
        custom: None,
    }
}

/// Proxies drop connections on which nothing moves, and a model may think for minutes.
const HEARTBEAT: Duration = Duration::from_secs(15);

struct SseBody {
    stream: ChunkStream,
    /// Armed only while nothing is there to be sent.
    heartbeat: Pin<Box<Sleep>>,
    armed: bool,
    writer: SseWriter,
    entry: Entry,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    done: bool,
}

impl SseBody {
    /// Nothing was sent for as long as a heartbeat.
    fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.armed {
            self.armed = true;
            self.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        }
        let quiet = self.heartbeat.as_mut().poll(cx).is_ready();
        self.armed = !quiet;
        quiet
    }

    fn fail(&mut self, error: &Error) {
        self.entry.error(error);
        self.writer.error(error);
        self.done = true;
    }
}

impl http_body::Body for SseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
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
        if self.done || !self.writer.is_empty() {
            self.armed = false;
        } else if self.is_quiet(cx) {
            // A comment, which every reader of server-sent events passes over.
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(
                b": keep-alive\n\n",
            )))));
        }
        if !self.writer.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.writer.take()))));
        }
        if self.done {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_is_kept_alive() {
        let chunk = ChoiceChunk {
            choice: 0,
            chunk: Chunk::Content("Hi".into()),
        };
        let chunks = stream::once(async { Ok(chunk) }).chain(stream::pending());
        let request: ChatRequest = serde_json::from_str(r#"{"model":"m","messages":[]}"#).unwrap();
        let response = response(
            &Entry::new("/", "GET", None),
            &request,
            ChunkStream::new(chunks),
            None,
            CancellationToken::new(),
        );
        let mut body = response.into_body();
        let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(next().await.ends_with(b"\n\n"));
        let began = Instant::now();
        for beats in 1..=3 {
            assert_eq!(next().await, &b": keep-alive\n\n"[..]);
            assert_eq!(began.elapsed().as_secs(), beats * HEARTBEAT.as_secs());
        }
    }
}
