//! Turns the chunks of an answer into content blocks. Streams and whole messages share this code, so that both have the
//! same blocks.

mod call;
mod collected;
mod parts;

pub use collected::Collected;

use serde_json::Value;

use super::citations::citation;
use crate::{
    anthropic::{
        event::{Delta, Event, MessageEnd},
        reply::{ContentBlock, StopReason, Usage},
    },
    call::Warnings,
    edge::{
        dialect::{block_order::BlockOrder, responses::sealed},
        seal::Seals,
    },
    error::{Error, Kind},
    model::Model,
    openai::completion::{Annotation, FinishReason, Image, ThinkingBlock},
    operation::chat::{Chunk, unmarked},
};
use call::{Call, Step};
use parts::{image, server_tool, wire_usage};

/// The state of one answer. At most one content block is open.
#[derive(Debug)]
pub struct Steps {
    order: BlockOrder,
    warnings: Warnings,
    /// The index of the next block.
    next: u32,
    open: Option<Open>,
    /// The model signs its thinking, so that the client has to send it back.
    is_signed: bool,
    hide_thinking: bool,
    /// The call whose arguments arrive. Its block begins once they are known to be an object.
    call: Option<Call>,
    /// Calls that were left out, because their arguments are no object.
    dropped_calls: usize,
    /// The answer has a call or text.
    has_answer: bool,
    /// The answer has a call.
    has_call: bool,
    /// A call that the client has in part can never become valid.
    is_broken: bool,
    /// A stop sequence ended the answer, if known this one.
    stop_sequence: Option<Option<String>>,
    stop_details: Option<Value>,
    /// The context window is full.
    is_window_full: bool,
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
    Call,
}

/// Receives the events of an answer.
type Sink<'s> = &'s mut dyn FnMut(Event<'_>);

impl Steps {
    /// Creates the state for an answer of `model`. `hide_thinking` leaves out thinking that the client does not have to
    /// send back.
    pub fn new(model: &Model, hide_thinking: bool, sealer: Sealer, warnings: Warnings) -> Self {
        Self {
            order: BlockOrder::default(),
            warnings,
            next: 0,
            open: None,
            is_signed: model.facts.reasoning.signed,
            hide_thinking,
            call: None,
            dropped_calls: 0,
            has_answer: false,
            has_call: false,
            is_broken: false,
            stop_sequence: None,
            stop_details: None,
            is_window_full: false,
            finish: FinishReason::Stop,
            usage: Usage::default(),
            guardrail: None,
            sealer,
            unsigned: String::new(),
        }
    }

    /// Adds a chunk, and emits its events.
    pub fn push(&mut self, chunk: Chunk, emit: Sink<'_>) {
        let mut order = std::mem::take(&mut self.order);
        order.push(chunk, &mut |chunk| self.ordered(&chunk, emit));
        self.order = order;
    }

    /// Adds a chunk in the order of blocks. What follows a broken call is not shown.
    fn ordered(&mut self, chunk: &Chunk, emit: Sink<'_>) {
        match chunk {
            Chunk::Usage(usage) => self.usage = wire_usage(usage),
            _ if self.is_broken => {}
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
                self.stop(emit);
                self.call = Some(Call::new(*index, id, name));
            }
            Chunk::ToolArguments { index, fragment } => {
                if let Some(call) = self.call.as_mut().filter(|call| call.index == *index) {
                    let step = call.add(fragment);
                    self.call_step(step, emit);
                }
            }
            Chunk::ToolCallEnd { index } => {
                if let Some(call) = self.call.take_if(|call| call.index == *index) {
                    self.call_step(call.end(), emit);
                    self.stop(emit);
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
            Chunk::StopDetails(details) => self.stop_details = Some(details.clone()),
            Chunk::WindowExceeded => self.is_window_full = true,
            Chunk::Finish(reason) => {
                if let Some(call) = self.call.take() {
                    self.call_step(call.cut(), emit);
                }
                self.stop(emit);
                self.finish = *reason;
            }
            Chunk::Guardrail(trace) => self.guardrail = Some(trace.clone()),
            // The stop reason says it.
            Chunk::Blocked => {}
            // Requests of this dialect have neither custom tools nor legacy functions, and its replies no log probabilities.
            Chunk::Logprobs(_)
            | Chunk::CustomToolStart { .. }
            | Chunk::CustomToolInput { .. }
            | Chunk::CustomToolCall { .. }
            | Chunk::FunctionCall(_)
            | Chunk::FunctionArguments(_) => {}
        }
    }

    /// Shows what a call has become by its last piece.
    fn call_step(&mut self, step: Step, emit: Sink<'_>) {
        match step {
            Step::Wait => {}
            Step::Begin(block, input) => {
                (self.has_answer, self.has_call) = (true, true);
                self.start(Open::Call, block, emit);
                self.input(&input, emit);
            }
            Step::More(input) => self.input(&input, emit),
            Step::Drop => {
                self.dropped_calls += 1;
                self.warnings.add(
                    "tool_use: a call was left out (the model's arguments are not a JSON object)",
                );
            }
            Step::Break => self.is_broken = true,
        }
    }

    fn input(&self, partial_json: &str, emit: Sink<'_>) {
        if !partial_json.is_empty() {
            self.delta(Delta::InputJsonDelta { partial_json }, emit);
        }
    }

    /// Returns the error if the answer is of no use, because a call in it is malformed: nothing else is in the answer, or
    /// the client has the beginning of the call already.
    pub fn failure(&self) -> Option<Error> {
        let is_empty = !self.has_answer && self.dropped_calls > 0;
        // A call that the limit on tokens cut off is no fault of the model.
        let is_cut = matches!(self.finish, FinishReason::Length);
        ((self.is_broken || is_empty) && !is_cut).then(|| {
            let text =
                "The model called a tool with arguments that are not a JSON object. Try again.";
            Error::new(Kind::Upstream, text).with_code("malformed_model_output")
        })
    }

    /// Returns how the message ended.
    pub fn end(&self) -> MessageEnd<'_> {
        let has_lost_all = !self.has_call && self.dropped_calls > 0;
        let stop_reason = match self.finish {
            FinishReason::Stop if self.stop_sequence.is_some() => StopReason::StopSequence,
            FinishReason::Stop => StopReason::EndTurn,
            FinishReason::ToolCalls | FinishReason::FunctionCall if has_lost_all => {
                StopReason::EndTurn
            }
            FinishReason::Length if self.is_window_full => StopReason::ModelContextWindowExceeded,
            FinishReason::Length => StopReason::MaxTokens,
            FinishReason::ToolCalls | FinishReason::FunctionCall => StopReason::ToolUse,
            FinishReason::ContentFilter => StopReason::Refusal,
        };
        MessageEnd {
            stop_reason,
            stop_sequence: self.stop_sequence.as_ref().and_then(Option::as_deref),
            stop_details: self.stop_details.as_ref(),
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
            self.has_answer = true;
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
