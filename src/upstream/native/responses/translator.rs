//! Translates answers of Responses into chunks. A whole reply is read as the end of each of its items, so that it cannot
//! differ from a stream.

mod custom;
mod ends;

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use crate::{
    bedrock::reply::TokenUsage,
    call::Warnings,
    error::Error,
    model::ToolUseIdForm,
    money,
    openai::responses::{Event, FunctionCall, OutputItem, Response, Usage},
    operation::chat::Chunk,
    upstream::{
        BilledError,
        converse::{
            ReplyPlan,
            answer::Answer,
            finish::{INCOMPLETE, Stop, shown},
        },
        native::{
            counts::{self, Counts},
            error::{NativeError, malformed},
            stream::EventTranslator,
            translator::{NAMELESS, unique_id},
        },
    },
};

/// Cap on the items of an answer. Bounds what a faulty stream can allocate.
const MAX_ITEMS: usize = 1024;

/// The state of one answer.
pub struct ItemTranslator {
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
    answer: Answer,
    /// Identifies the answer among all answers of the gateway.
    answer_id: String,
    id_form: ToolUseIdForm,
    items: Vec<Item>,
    calls: usize,
    counts: Counts,
    /// The client has received text or a call.
    has_output: bool,
    ended: bool,
    /// The end means that there is no answer.
    has_failed: bool,
}

/// An item of the answer.
#[derive(Debug, Default)]
struct Item {
    index: u32,
    /// A call has its name.
    is_started: bool,
    /// Content has arrived before the end of the item.
    has_deltas: bool,
    /// This content, except reasoning.
    received: String,
    is_done: bool,
    /// The part of the reasoning to which the last piece belongs.
    part: u32,
}

impl ItemTranslator {
    pub fn new(
        plan: Arc<ReplyPlan>,
        warnings: Warnings,
        answer_id: String,
        id_form: ToolUseIdForm,
    ) -> Self {
        Self {
            answer: Answer::new(plan.clone(), warnings.clone()),
            plan,
            warnings,
            answer_id,
            id_form,
            items: Vec::new(),
            calls: 0,
            counts: Counts::default(),
            has_output: false,
            ended: false,
            has_failed: false,
        }
    }

    /// Adds a whole reply and emits its end.
    ///
    /// # Errors
    /// If the reply has no answer. The error has the usage of the reply.
    pub fn whole(mut self, body: &[u8], out: &mut VecDeque<Chunk>) -> Result<(), BilledError> {
        let mut response: Response =
            serde_json::from_slice(body).map_err(|error| malformed(&error.classify(), body))?;
        if response.status.is_none() && response.error.is_none() {
            return Err(malformed(&"there is no status", body).into());
        }
        for (index, item) in (0..).zip(std::mem::take(&mut response.output)) {
            self.item_done(index, item, out);
        }
        self.finish(response, out)
            .map_err(|error| BilledError::new(error, self.estimate()))
    }

    /// Returns the state of an item, or `None` if there are too many.
    fn item(&mut self, index: u32) -> Option<&mut Item> {
        let known = self.items.iter().rposition(|item| item.index == index);
        let at = match known {
            Some(at) => at,
            None if self.items.len() == MAX_ITEMS => return None,
            None => {
                self.items.push(Item {
                    index,
                    ..Item::default()
                });
                self.items.len() - 1
            }
        };
        self.items.get_mut(at)
    }

    /// Records content of an item that arrived before its end. Returns whether the item can have it.
    fn record(&mut self, index: u32, delta: &str) -> bool {
        let Some(item) = self.item(index) else {
            return false;
        };
        item.has_deltas = true;
        item.received.push_str(delta);
        true
    }

    fn text(&mut self, text: String, out: &mut VecDeque<Chunk>) {
        self.has_output |= !text.is_empty();
        self.answer.text(text, out);
    }

    fn refusal(&mut self, text: String, out: &mut VecDeque<Chunk>) {
        if !text.is_empty() {
            self.warnings
                .add("reply: the model's refusal is part of the content");
            self.text(text, out);
        }
    }

    /// Adds a piece of reasoning. A blank line separates its parts.
    fn thought(&mut self, index: u32, part: u32, text: &str, out: &mut VecDeque<Chunk>) {
        let Some(item) = self.item(index) else {
            return;
        };
        let is_next = item.has_deltas && item.part != part;
        (item.has_deltas, item.part) = (true, part);
        if is_next {
            self.answer.reasoning(index, "\n\n", out);
        }
        self.answer.reasoning(index, text, out);
    }

    fn start(&mut self, index: u32, call: &FunctionCall, out: &mut VecDeque<Chunk>) {
        let Some(item) = self.item(index) else {
            return;
        };
        if item.is_started {
            return;
        }
        if call.name.is_empty() {
            return self.answer.unknown(NAMELESS);
        }
        item.is_started = true;
        let id = unique_id(&call.call_id, &self.answer_id, self.calls, self.id_form);
        self.calls += 1;
        self.has_output = true;
        let name = match &call.namespace {
            Some(namespace) => self.plan.flat_name(namespace, &call.name),
            None => call.name.clone(),
        };
        self.answer.tool_start(index, &id, &name, None, out);
    }

    /// Reads the end of the answer and emits it.
    fn finish(&mut self, response: Response, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        self.open_items_done(response.output, out);
        if let Some(usage) = response.usage {
            self.counts.tokens.add(tokens(usage), true);
            let details = usage.output_tokens_details;
            self.counts.reasoning = details.and_then(|details| details.reasoning_tokens);
        }
        self.counts.tier = response.service_tier.or(self.counts.tier.take());
        self.has_failed = true;
        let cause = response.incomplete_details.and_then(|cause| cause.reason);
        let reason = match (response.status.as_deref(), cause.as_deref()) {
            (Some("completed"), _) => "end_turn",
            (Some("incomplete"), Some("max_output_tokens")) => "max_tokens",
            (Some("incomplete"), Some("content_filter")) => "content_filtered",
            (Some("incomplete"), cause) => {
                self.warnings.add(unknown_cause(cause));
                INCOMPLETE
            }
            _ => return Err(failed(response.error.as_ref(), response.usage)),
        };
        if reason == "max_tokens" && !self.has_output {
            self.warnings.add(
                "max_tokens: the answer is empty (the model used the whole limit for reasoning)",
            );
        }
        self.answer.finish(Stop::new(reason, None), out)?;
        (self.has_failed, self.ended) = (false, true);
        out.push_back(Chunk::Usage(self.estimate()));
        Ok(())
    }
}

impl EventTranslator for ItemTranslator {
    fn event(&mut self, data: &[u8], out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let event: Event = serde_json::from_slice(data).map_err(|error| {
            // An error can come without a type.
            let failure = NativeError::read(data).map(NativeError::into_event_error);
            failure.unwrap_or_else(|| malformed(&error.classify(), data))
        })?;
        if self.ended {
            return Ok(());
        }
        match event {
            Event::ItemAdded { output_index, item } => match item {
                OutputItem::FunctionCall(call) => self.start(output_index, &call, out),
                OutputItem::CustomToolCall(call) => {
                    self.start_custom(output_index, &call, out);
                }
                _ => {}
            },
            Event::CustomInput {
                output_index,
                delta,
            } => self.custom_input(output_index, &delta, out),
            Event::ItemDone { output_index, item } => self.item_done(output_index, item, out),
            Event::Text {
                output_index,
                delta,
            } => {
                if self.record(output_index, &delta) {
                    self.text(delta, out);
                }
            }
            Event::Refusal {
                output_index,
                delta,
            } => {
                if self.record(output_index, &delta) {
                    self.refusal(delta, out);
                }
            }
            Event::SummaryText {
                output_index,
                summary_index: part,
                delta,
            }
            | Event::ReasoningText {
                output_index,
                content_index: part,
                delta,
            } => self.thought(output_index, part, &delta, out),
            Event::Arguments {
                output_index,
                delta,
            } => {
                if self.item(output_index).is_some_and(|item| item.is_started) {
                    self.record(output_index, &delta);
                    self.answer.tool_input(output_index, delta, out);
                }
            }
            Event::End { response } => self.finish(*response, out)?,
            Event::Error => {
                let error: Value = serde_json::from_slice(data).unwrap_or_default();
                let own = error.get("error").filter(|own| own.is_object());
                let error = NativeError::of(own.unwrap_or(&error)).unwrap_or_default();
                return Err(error.into_event_error());
            }
            Event::Other => {}
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.ended
    }

    fn has_final_usage(&self) -> bool {
        self.ended
    }

    fn is_ended(&self) -> bool {
        self.ended
    }

    /// Does nothing: the last event is the end.
    fn end(&mut self, _: &mut VecDeque<Chunk>) -> Result<(), Error> {
        Ok(())
    }

    fn estimate(&self) -> money::Usage {
        let (size, plan) = (self.answer.size, &self.plan);
        match self.ended || self.has_failed {
            true => self.counts.usage(None, size, plan),
            false => self.counts.estimate(size, plan),
        }
    }
}

/// Returns the warning about an answer that is incomplete for a reason of which nothing is known.
fn unknown_cause(cause: Option<&str>) -> String {
    let cause = cause.map_or_else(
        || "gives no reason".to_owned(),
        |cause| format!("gives the reason '{}'", shown(cause)),
    );
    format!("finish_reason: the answer is incomplete (Bedrock ended it early and {cause})")
}

/// Returns the error for a reply without an answer.
fn failed(error: Option<&Value>, usage: Option<Usage>) -> Error {
    let error = error.and_then(NativeError::of).unwrap_or_default();
    let error = error.into_event_error();
    match usage {
        Some(usage) if usage.output_tokens > 0 || usage.input_tokens > 0 => error.may_be_billed(),
        _ => error,
    }
}

fn tokens(usage: Usage) -> TokenUsage {
    let details = usage.input_tokens_details.unwrap_or_default();
    counts::buckets(
        usage.input_tokens,
        usage.output_tokens,
        details.cached_tokens,
        details.cache_write_tokens,
    )
}
