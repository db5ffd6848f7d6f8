//! Turns the chunks of an answer into content blocks. Streams and whole messages share this code, so that both have the
//! same blocks.

use std::collections::VecDeque;

use serde_json::{Value, json, value::RawValue};

use super::citations::citation;
use crate::{
    anthropic::{
        event::{Delta, Event, MessageEnd},
        reply::{
            CacheCreation, ContentBlock, ImageSource, OutputTokensDetails, ServerToolUse,
            StopReason, Usage,
        },
    },
    edge::{
        dialect::{chat_completions::cost, responses::sealed},
        seal::Seals,
    },
    model::Model,
    money,
    openai::completion::{Annotation, FinishReason, Image, ThinkingBlock},
    operation::chat::{Chunk, unmarked},
};

/// The state of one answer. At most one content block is open.
#[derive(Debug)]
pub struct Steps {
    /// The index of the next block.
    next: u32,
    open: Option<Open>,
    /// The model signs its thinking, so that the client has to send it back.
    is_signed: bool,
    hide_thinking: bool,
    stop_sequence: Option<String>,
    finish: FinishReason,
    usage: Usage,
    guardrail: Option<Value>,
    sealer: Sealer,
    /// The text of the open thinking, if the model does not sign it.
    unsigned: String,
}

/// Seals reasoning that the model itself does not sign, for one key of the gateway.
#[derive(Clone, Debug)]
pub struct Sealer {
    pub seals: Seals,
    pub key_id: String,
}

impl Sealer {
    fn seal(&self, block: ThinkingBlock) -> Option<String> {
        sealed::seal(&[block], &self.seals, &self.key_id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// A tool call, by its position among the calls.
    Call(u32),
}

/// Receives the events of an answer.
type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

impl Steps {
    /// Creates the state for an answer of `model`. `hide_thinking` leaves out thinking that the client does not have to
    /// send back.
    pub fn new(model: &Model, hide_thinking: bool, sealer: Sealer) -> Self {
        Self {
            next: 0,
            open: None,
            is_signed: model.facts.reasoning.signed,
            hide_thinking,
            stop_sequence: None,
            finish: FinishReason::Stop,
            usage: Usage::default(),
            guardrail: None,
            sealer,
            unsigned: String::new(),
        }
    }

    /// Adds a chunk, and emits its events.
    pub fn push(&mut self, chunk: &Chunk, emit: Sink<'_>) {
        match chunk {
            Chunk::Content(text) => self.text(text, &[], emit),
            Chunk::CitedContent(text, annotations) => self.text(text, annotations, emit),
            Chunk::Annotations(annotations) => self.text("", annotations, emit),
            Chunk::ReasoningContent(text) => {
                if self.is_signed || !self.hide_thinking {
                    self.thinking(text, emit);
                }
            }
            Chunk::Thinking(block) => self.signed(block, emit),
            Chunk::ToolCall { index, id, name } => {
                let input = RawValue::from_string("{}".to_owned()).unwrap_or_default();
                let call = ContentBlock::ToolUse {
                    id: id.to_string(),
                    name: name.to_string(),
                    input,
                };
                self.start(Open::Call(*index), call, emit);
            }
            // Codecs finish each call before the next begins.
            Chunk::ToolArguments { index, fragment } => {
                if self.open == Some(Open::Call(*index)) {
                    let partial_json = fragment.as_str();
                    self.delta(Delta::InputJsonDelta { partial_json }, emit);
                }
            }
            Chunk::ServerTool(block) => {
                if let Some(block) = server_tool(block) {
                    self.whole(block, emit);
                }
            }
            Chunk::Image(Image::ImageUrl { image_url }) => {
                if let Some(source) = image(&image_url.url) {
                    self.whole(ContentBlock::Image { source }, emit);
                }
            }
            Chunk::StopSequence(stop) => self.stop_sequence = Some(stop.clone()),
            Chunk::Finish(reason) => {
                self.stop(emit);
                self.finish = *reason;
            }
            Chunk::Guardrail(trace) => self.guardrail = Some(trace.clone()),
            Chunk::Usage(usage) => self.usage = wire_usage(usage),
            // Requests of this dialect have neither custom tools nor legacy functions.
            Chunk::CustomToolCall { .. } | Chunk::FunctionCall(_) | Chunk::FunctionArguments(_) => {
            }
        }
    }

    /// Returns how the message ended.
    pub fn end(&self) -> MessageEnd<'_> {
        let stop_sequence = self.stop_sequence.as_deref();
        let stop_reason = match self.finish {
            FinishReason::Stop if stop_sequence.is_some() => StopReason::StopSequence,
            FinishReason::Stop => StopReason::EndTurn,
            FinishReason::Length => StopReason::MaxTokens,
            FinishReason::ToolCalls | FinishReason::FunctionCall => StopReason::ToolUse,
            FinishReason::ContentFilter => StopReason::Refusal,
        };
        MessageEnd {
            stop_reason,
            stop_sequence,
        }
    }

    /// The usage of the call so far.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The trace of the guardrail, if the client may see it.
    pub fn guardrail(&self) -> Option<&Value> {
        self.guardrail.as_ref()
    }

    fn text(&mut self, text: &str, annotations: &[Annotation], emit: Sink<'_>) {
        if self.open != Some(Open::Text) {
            let block = ContentBlock::Text {
                text: String::new(),
                citations: Vec::new(),
            };
            self.start(Open::Text, block, emit);
        }
        if !text.is_empty() {
            self.delta(Delta::TextDelta { text }, emit);
        }
        for annotation in annotations {
            let citation = citation(annotation);
            self.delta(Delta::CitationsDelta { citation }, emit);
        }
    }

    fn thinking(&mut self, thinking: &str, emit: Sink<'_>) {
        if self.open != Some(Open::Thinking) {
            let block = ContentBlock::Thinking {
                thinking: String::new(),
                signature: String::new(),
            };
            self.start(Open::Thinking, block, emit);
        }
        if !self.is_signed {
            self.unsigned.push_str(thinking);
        }
        if !thinking.is_empty() {
            self.delta(Delta::ThinkingDelta { thinking }, emit);
        }
    }

    /// Ends a block of thinking whose text, if there is any, was emitted before. The client gets Claude's signatures as
    /// Bedrock sent them, and everything else in a seal of the gateway.
    fn signed(&mut self, block: &ThinkingBlock, emit: Sink<'_>) {
        match block {
            // The text is complete, and only models that sign it need more back.
            ThinkingBlock::Thinking { .. } if !self.is_signed => {
                if self.open == Some(Open::Thinking) {
                    self.stop(emit);
                }
            }
            ThinkingBlock::Thinking { signature, .. } => {
                self.thinking("", emit);
                let signature = unmarked(signature.as_deref().unwrap_or_default());
                self.delta(Delta::SignatureDelta { signature }, emit);
                self.stop(emit);
            }
            ThinkingBlock::RedactedThinking { data } => {
                let data = match self.is_signed {
                    true => Some(unmarked(data).to_owned()),
                    false => self.sealer.seal(block.clone()),
                };
                if let Some(data) = data {
                    self.whole(ContentBlock::RedactedThinking { data }, emit);
                }
            }
        }
    }

    fn start(&mut self, open: Open, block: ContentBlock, emit: Sink<'_>) {
        self.stop(emit);
        self.open = Some(open);
        emit(Event::ContentBlockStart {
            index: self.next,
            content_block: block,
        });
    }

    fn delta(&self, delta: Delta<'_>, emit: Sink<'_>) {
        let index = self.next;
        emit(Event::ContentBlockDelta { index, delta });
    }

    /// Ends the open block.
    fn stop(&mut self, emit: Sink<'_>) {
        self.seal_thinking(emit);
        if self.open.take().is_some() {
            emit(Event::ContentBlockStop { index: self.next });
            self.next += 1;
        }
    }

    /// Signs open thinking that the model does not sign.
    fn seal_thinking(&mut self, emit: Sink<'_>) {
        let thinking = std::mem::take(&mut self.unsigned);
        if self.open != Some(Open::Thinking) || thinking.is_empty() {
            return;
        }
        let block = ThinkingBlock::Thinking {
            thinking,
            signature: None,
        };
        if let Some(signature) = self.sealer.seal(block) {
            let signature = signature.as_str();
            self.delta(Delta::SignatureDelta { signature }, emit);
        }
    }

    /// Adds a block that has no deltas.
    fn whole(&mut self, block: ContentBlock, emit: Sink<'_>) {
        self.start(Open::Text, block, emit);
        self.stop(emit);
    }
}

/// Returns the usage in Anthropic's terms, where input excludes what the prompt cache holds.
fn wire_usage(usage: &money::Usage) -> Usage {
    let web_search_requests = usage.server_tool_uses;
    Usage {
        input_tokens: usage.input,
        cache_creation_input_tokens: usage.cache_write,
        cache_read_input_tokens: usage.cache_read,
        cache_creation: CacheCreation {
            ephemeral_5m_input_tokens: usage.cache_write_5m(),
            ephemeral_1h_input_tokens: usage.cache_write_1h,
        },
        output_tokens: usage.output,
        output_tokens_details: OutputTokensDetails {
            thinking_tokens: usage.reasoning,
        },
        server_tool_use: (web_search_requests > 0).then_some(ServerToolUse {
            web_search_requests,
        }),
        service_tier: usage.service_tier.map(|tier| match tier {
            "default" => "standard",
            other => other,
        }),
        cost: cost(usage),
        estimated: usage.estimated,
    }
}

/// Returns the block for a call of a tool that AWS runs, or for its result.
fn server_tool(block: &Value) -> Option<ContentBlock> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(call) = block.get("toolUse") {
        return Some(ContentBlock::ServerToolUse {
            id: text(&call["toolUseId"]),
            name: text(&call["name"]),
            input: call["input"].clone(),
        });
    }
    let result = block.get("toolResult")?;
    let content = result["content"].as_array().into_iter().flatten();
    let content = content.map(|part| match part["text"].as_str() {
        Some(text) => json!({"type": "text", "text": text}),
        None => json!({"type": "text", "text": part["json"].to_string()}),
    });
    Some(ContentBlock::WebSearchToolResult {
        tool_use_id: text(&result["toolUseId"]),
        content: content.collect(),
    })
}

/// Splits the data URL of an image.
fn image(url: &str) -> Option<ImageSource> {
    let (media_type, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(ImageSource {
        r#type: "base64",
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    })
}

/// Collects the events of an answer into its content blocks.
#[derive(Debug, Default)]
pub struct Collected {
    pub blocks: Vec<ContentBlock>,
    /// The JSON of the open tool call.
    arguments: VecDeque<String>,
}

impl Collected {
    /// Adds an event.
    pub fn add(&mut self, event: Event<'_>) {
        match event {
            Event::ContentBlockStart { content_block, .. } => self.blocks.push(content_block),
            Event::ContentBlockDelta { delta, .. } => self.delta(delta),
            Event::ContentBlockStop { .. } => self.close(),
            Event::MessageStart { .. }
            | Event::Ping
            | Event::MessageDelta { .. }
            | Event::MessageStop => {}
        }
    }

    fn delta(&mut self, delta: Delta<'_>) {
        let Some(last) = self.blocks.last_mut() else {
            return;
        };
        match (last, delta) {
            (ContentBlock::Text { text, .. }, Delta::TextDelta { text: more }) => {
                text.push_str(more);
            }
            (ContentBlock::Text { citations, .. }, Delta::CitationsDelta { citation }) => {
                citations.push(citation);
            }
            (ContentBlock::Thinking { thinking, .. }, Delta::ThinkingDelta { thinking: more }) => {
                thinking.push_str(more);
            }
            (
                ContentBlock::Thinking { signature, .. },
                Delta::SignatureDelta { signature: more },
            ) => signature.push_str(more),
            (ContentBlock::ToolUse { .. }, Delta::InputJsonDelta { partial_json }) => {
                self.arguments.push_back(partial_json.to_owned());
            }
            _ => {}
        }
    }

    /// Sets the input of the tool call that ends. One that the token limit has cut off stays empty.
    fn close(&mut self) {
        let arguments: String = self.arguments.drain(..).collect();
        if let Some(ContentBlock::ToolUse { input, .. }) = self.blocks.last_mut()
            && let Ok(whole) = RawValue::from_string(arguments)
        {
            *input = whole;
        }
    }
}
