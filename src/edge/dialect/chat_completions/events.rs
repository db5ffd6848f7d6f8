//! Writes chunks of a chat as `chat.completion.chunk` events.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::Value;

use super::whole::{kb, usage as wire_usage};
use crate::{
    call::{Retrieval, Warnings},
    edge::{dialect::EventWriter, rescue},
    error::Error,
    openai::{
        completion::{Indexed, Logprobs, ReasoningDetail},
        delta::{Delta, FunctionDelta, ToolCallDelta},
    },
    operation::chat::{ChoiceChunk, Chunk},
};

/// Writes OpenAI's chunks. The members that all chunks share are serialized only once.
pub struct ChatWriter {
    out: BytesMut,
    /// The beginning of each event: `data: {…,"model":"…",`.
    head: Vec<u8>,
    include_usage: bool,
    hide_reasoning: bool,
    /// `,"kb":{…}`, for the first chunk with a `finish_reason`. Empty without retrieval.
    kb: Vec<u8>,
    /// The warnings to list in the last chunk, if the client asked for them.
    warnings: Option<Warnings>,
    /// The choices that have begun, one bit each; a request has at most 128.
    begun: u128,
    /// The number of entries written so far, by choice and list.
    lists: BTreeMap<(u32, List), u32>,
}

/// Lists whose entries are spread over several chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    ThinkingBlocks,
    ServerToolBlocks,
    Annotations,
    Images,
}

impl ChatWriter {
    /// Creates a writer. `created` is in Unix seconds; `include_usage` is the member of `stream_options`.
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
        // Serializing strings and numbers cannot fail.
        rendered.extend(serde_json::to_vec(&head).unwrap_or_default());
        if let Some(brace) = rendered.last_mut() {
            *brace = b',';
        }
        Self {
            out: BytesMut::new(),
            head: rendered,
            include_usage,
            hide_reasoning: false,
            kb: Vec::new(),
            warnings: None,
            begun: 0,
            lists: BTreeMap::new(),
        }
    }

    /// Leaves the reasoning out of the events.
    pub fn hide_reasoning(&mut self) {
        self.hide_reasoning = true;
    }

    /// Adds the `kb` object, which describes the retrieval, to the first chunk with a `finish_reason`.
    pub fn add_retrieval(&mut self, retrieval: &Retrieval) {
        self.kb = b",\"kb\":".to_vec();
        // Serializing plain structs and JSON values cannot fail.
        let _ = serde_json::to_writer(&mut self.kb, &kb(retrieval));
    }

    /// Adds the warnings of the call to the last chunk, which is written after all of them are known.
    pub fn add_warnings(&mut self, warnings: Warnings) {
        self.warnings = Some(warnings);
    }

    /// Numbers the next entry of a list.
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

    /// Writes `bedrock_guardrail`, an extension, in a chunk without choices.
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
        self.out.put_slice(br#","logprobs":null"#);
        self.end(finish_reason);
    }

    /// Writes a chunk with log probabilities of content that was written before.
    fn logprobs(&mut self, choice: u32, entries: &str) {
        if let Some(logprobs) = Logprobs::of(entries) {
            self.open(choice);
            self.out.put_slice(br#"{},"logprobs":"#);
            self.json(&logprobs);
            self.end(None);
        }
    }

    fn end(&mut self, finish_reason: Option<&str>) {
        self.out.put_slice(br#","finish_reason":"#);
        match finish_reason {
            Some(reason) => {
                self.out.put_u8(b'"');
                self.out.put_slice(reason.as_bytes());
                self.out.put_u8(b'"');
            }
            None => self.out.put_slice(b"null"),
        }
        self.out.put_slice(b"}]");
        // Written once, because it is the same for all choices.
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
        // Serializing plain structs into memory cannot fail.
        let _ = serde_json::to_writer((&mut self.out).writer(), value);
    }
}

impl EventWriter for ChatWriter {
    /// Writes one chunk. The first chunk of each choice is preceded by a delta with the role.
    fn chunk(&mut self, ChoiceChunk { choice, chunk }: &ChoiceChunk) {
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
                self.json(&wire_usage(usage));
                if let Some(warnings) = self.warnings.take() {
                    self.out.put_slice(br#","x_lintel_warnings":"#);
                    self.json(&warnings.texts());
                }
                self.out.put_slice(b"}\n\n");
                return;
            }
            // Calls have numbers here, so that their order is known.
            Chunk::Usage(_)
            | Chunk::ToolCallEnd { .. }
            | Chunk::CustomToolStart { .. }
            | Chunk::CustomToolInput { .. }
            | Chunk::StopSequence(None)
            | Chunk::StopDetails(_)
            | Chunk::WindowExceeded
            | Chunk::Blocked => return,
            Chunk::Guardrail(trace) => return self.guardrail(trace),
            chunk if self.hide_reasoning && chunk.is_reasoning() => return,
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
                let detail = Indexed {
                    index: block.index,
                    entry: ReasoningDetail::from(block.entry),
                };
                let delta = Delta::Thinking {
                    thinking_blocks: [block],
                    reasoning_details: [detail],
                };
                self.delta(choice, &delta);
            }
            Chunk::ServerTool(block) => {
                let block = self.index(choice, List::ServerToolBlocks, block);
                self.delta(choice, &Delta::ServerToolBlocks([block]));
            }
            Chunk::StopSequence(Some(stop)) => self.delta(choice, &Delta::StopSequence(stop)),
            Chunk::Annotations(annotations) => {
                let annotations = self.indexed(choice, List::Annotations, annotations);
                self.delta(choice, &Delta::Annotations(annotations));
            }
            Chunk::Logprobs(entries) => self.logprobs(choice, entries),
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
                ..
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
            _ => {}
        }
    }

    fn error(&mut self, error: &Error) {
        self.out.put_slice(b"data: ");
        self.out.put_slice(&rescue::envelope(error));
        self.out.put_slice(b"\n\n");
    }

    fn done(&mut self) {
        if let Some(warnings) = self.warnings.take() {
            self.out.put_slice(&self.head);
            self.out.put_slice(br#""choices":[],"x_lintel_warnings":"#);
            self.json(&warnings.texts());
            self.out.put_slice(b"}\n\n");
        }
        self.out.put_slice(b"data: [DONE]\n\n");
    }

    fn written(&mut self) -> &mut BytesMut {
        &mut self.out
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
