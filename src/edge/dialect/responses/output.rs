//! Turns the chunks of an answer into items, and writes the events about them. A whole reply is read in the same way, so
//! that the two cannot differ.

mod call;
mod open;

use serde_json::Value;

use super::{events::Events, names::ToolNames, sealed};
use crate::{
    edge::{
        dialect::block_order::BlockOrder,
        seal::{Purpose, Seals},
    },
    error::{Error, Kind},
    money::Usage,
    openai::{
        completion::{Annotation as Citation, FinishReason},
        responses::served::{EventBody, OutputItem, Status},
    },
    operation::chat::Chunk,
};

use open::{Message, Open, Reasoning, annotation};

/// The message of a blocked answer if there is no other.
const BLOCKED: &str = "The model gave no answer, because a content filter intervened.";

const CUT_SUMMARY: &str = "The summary of the conversation is longer than the limit on the output, or was stopped by a content filter. Raise 'max_output_tokens', or compact earlier.";

const NO_SUMMARY: &str = "The model wrote no summary of the conversation.";

/// What the output depends on beside the answer.
#[derive(Debug)]
pub struct OutputSettings {
    pub names: ToolNames,
    pub seals: Seals,
    pub key_id: String,
    /// The client wants to see the reasoning.
    pub shows_reasoning: bool,
    /// The client wants a summary of the conversation instead of an answer.
    pub compacts: bool,
    /// The ULID of the request, which is part of the ids of the items.
    pub id: String,
}

/// The output of one answer.
pub struct Output {
    pub events: Events,
    pub items: Vec<OutputItem>,
    pub finish: Option<FinishReason>,
    pub usage: Option<Usage>,
    /// The guardrail trace, if the client may see it.
    pub guardrail: Option<Value>,
    /// The text of a guardrail or a filter that answered instead of the model.
    pub blocked: Option<String>,
    settings: OutputSettings,
    open: Option<Open>,
    /// Only one item is open at a time.
    order: BlockOrder,
    /// The first text of the answer, until the next chunk tells whether a guardrail wrote it. So an answer that was blocked
    /// has no items.
    first: Option<Chunk>,
    has_begun: bool,
    /// The model answered nothing.
    is_blocked: bool,
    /// The code points in messages before the open one. Citations count all of them.
    position: usize,
    summary: String,
}

impl Output {
    /// Creates an empty output.
    pub fn new(settings: OutputSettings, events: Events) -> Self {
        Self {
            events,
            items: Vec::new(),
            finish: None,
            usage: None,
            guardrail: None,
            blocked: None,
            settings,
            open: None,
            order: BlockOrder::default(),
            first: None,
            has_begun: false,
            is_blocked: false,
            position: 0,
            summary: String::new(),
        }
    }

    /// Adds the next chunk.
    pub fn chunk(&mut self, chunk: Chunk) {
        let mut order = std::mem::take(&mut self.order);
        order.push(chunk, &mut |chunk| self.ordered(chunk));
        self.order = order;
    }

    /// Returns why there is no summary, if the client wants one.
    pub fn missing_summary(&self) -> Option<Error> {
        let has_summary = |item: &OutputItem| matches!(item, OutputItem::Compaction { .. });
        if !self.settings.compacts || self.blocked.is_some() {
            return None;
        }
        let is_missing = !self.items.iter().any(has_summary);
        is_missing.then(|| match self.is_cut() {
            true => Error::invalid("max_output_tokens", CUT_SUMMARY)
                .with_code("no_summary")
                .without_retry(),
            false => Error::new(Kind::Upstream, NO_SUMMARY)
                .with_code("no_summary")
                .without_retry(),
        })
    }

    /// Adds the next chunk in the order of items.
    fn ordered(&mut self, chunk: Chunk) {
        match &chunk {
            Chunk::Usage(usage) => self.usage = Some(*usage),
            Chunk::Guardrail(trace) => self.guardrail = Some(trace.clone()),
            Chunk::StopSequence(_) | Chunk::StopDetails(_) | Chunk::WindowExceeded => {}
            Chunk::Blocked => self.is_blocked = true,
            Chunk::Finish(reason) => self.finish(*reason),
            Chunk::Content(text) | Chunk::CitedContent(text, _) if self.settings.compacts => {
                self.summary.push_str(text);
            }
            _ if self.settings.compacts => {}
            Chunk::Content(_) | Chunk::CitedContent(..) if !self.has_begun => {
                self.has_begun = true;
                self.first = Some(chunk);
            }
            _ => {
                self.has_begun = true;
                self.flush_first();
                self.add(chunk);
            }
        }
    }

    /// Adds a complete item before the answer, with the names of the events between its begin and its end.
    pub fn whole_item(&mut self, begun: OutputItem, done: OutputItem, events: &[&str]) {
        let (id, index) = (begun.id().to_owned(), self.items.len());
        self.added(&begun);
        for event in events {
            let body = EventBody {
                item_id: Some(&id),
                output_index: Some(index),
                ..EventBody::default()
            };
            self.events.write(event, body);
        }
        self.done(done);
    }

    /// Returns the id of the next item.
    pub fn next_id(&self, prefix: &str) -> String {
        format!("{prefix}_{}{:02}", self.settings.id, self.items.len())
    }

    fn finish(&mut self, reason: FinishReason) {
        self.finish.get_or_insert(reason);
        if self.is_blocked {
            self.blocked = Some(self.take_blocked());
            return;
        }
        self.flush_first();
        self.close(match self.is_cut() {
            true => Status::Incomplete,
            false => Status::Completed,
        });
        if self.settings.compacts && !self.is_cut() && !self.summary.is_empty() {
            self.compaction();
        }
    }

    /// Reports whether the answer ended before the model had ended it.
    fn is_cut(&self) -> bool {
        matches!(
            self.finish,
            Some(FinishReason::Length | FinishReason::ContentFilter)
        )
    }

    /// Returns the message of the guardrail, which is no output.
    fn take_blocked(&mut self) -> String {
        let text = match (self.first.take(), self.open.take()) {
            (Some(Chunk::Content(text) | Chunk::CitedContent(text, _)), _) => text,
            (_, Some(Open::Message(message))) => message.into_text(),
            (_, open) => {
                self.open = open;
                self.close(Status::Completed);
                std::mem::take(&mut self.summary)
            }
        };
        match text.is_empty() {
            true => BLOCKED.to_owned(),
            false => text,
        }
    }

    fn compaction(&mut self) {
        let OutputSettings { seals, key_id, .. } = &self.settings;
        let summary = self.summary.as_bytes();
        let Some(encrypted_content) = seals.seal(Purpose::Compaction, key_id, summary) else {
            return;
        };
        let item = OutputItem::Compaction {
            id: self.next_id("cmp"),
            encrypted_content,
        };
        self.whole_item(item.clone(), item, &[]);
    }

    /// Writes the first piece of the answer, which is held in case a guardrail replaces the answer by it.
    pub fn flush_first(&mut self) {
        if let Some(first) = self.first.take() {
            self.add(first);
        }
    }

    /// Adds a chunk of output.
    fn add(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Content(text) => self.text(&text, Vec::new()),
            Chunk::CitedContent(text, citations) => self.text(&text, citations),
            Chunk::Annotations(citations) => self.text("", citations),
            Chunk::ReasoningContent(text) => {
                self.reasoning(|reasoning, index, events| reasoning.add(&text, index, events));
            }
            Chunk::Thinking(block) => {
                self.reasoning(|reasoning, index, events| reasoning.block(block, index, events));
            }
            Chunk::ToolCall { index, id, name } => self.start_call(index, &id, &name, false),
            Chunk::CustomToolStart { index, id, name } => self.start_call(index, &id, &name, true),
            Chunk::ToolArguments { index, fragment }
            | Chunk::CustomToolInput { index, fragment } => self.arguments(index, &fragment),
            Chunk::ToolCallEnd { index } => self.end_call(index, Status::Completed),
            Chunk::CustomToolCall { index, is_cut, .. } => self.end_call(
                index,
                match is_cut {
                    true => Status::Incomplete,
                    false => Status::Completed,
                },
            ),
            Chunk::Image(image) => self.image(image),
            Chunk::ServerTool(block) => self.server_tool(&block),
            // Only chat completions have these; the others are not output.
            Chunk::FunctionCall(_) | Chunk::FunctionArguments(_) | Chunk::Logprobs(_) => {}
            Chunk::StopSequence(_)
            | Chunk::StopDetails(_)
            | Chunk::WindowExceeded
            | Chunk::Blocked
            | Chunk::Finish(_)
            | Chunk::Guardrail(_)
            | Chunk::Usage(_) => {}
        }
    }

    fn text(&mut self, text: &str, citations: Vec<Citation>) {
        if !matches!(self.open, Some(Open::Message(_))) {
            self.close(Status::Completed);
            let message = Message::new(self.next_id("msg"), self.position);
            self.added(&message.item(Status::InProgress, false));
            message.emit_start(self.items.len(), &mut self.events);
            self.open = Some(Open::Message(message));
        }
        let index = self.items.len();
        let Some(Open::Message(message)) = &mut self.open else {
            return;
        };
        self.position += text.chars().count();
        message.add(text, index, &mut self.events);
        for citation in citations {
            let annotation = annotation(citation, message.start);
            message.annotate(annotation, index, &mut self.events);
        }
    }

    /// Continues the open reasoning item, or opens one.
    fn reasoning(&mut self, step: impl FnOnce(&mut Reasoning, usize, &mut Events)) {
        if !matches!(self.open, Some(Open::Reasoning(_))) {
            self.close(Status::Completed);
            let reasoning = Reasoning::new(self.next_id("rs"), self.settings.shows_reasoning);
            self.added(&reasoning.item(None));
            self.open = Some(Open::Reasoning(reasoning));
        }
        let index = self.items.len();
        if let Some(Open::Reasoning(reasoning)) = &mut self.open {
            step(reasoning, index, &mut self.events);
        }
    }

    /// Closes the open item.
    fn close(&mut self, status: Status) {
        let index = self.items.len();
        let item = match self.open.take() {
            None => return,
            Some(Open::Message(message)) => {
                message.emit_end(index, &mut self.events);
                message.item(status, true)
            }
            Some(Open::Reasoning(mut reasoning)) => {
                let blocks = reasoning.end(index, &mut self.events);
                let OutputSettings { seals, key_id, .. } = &self.settings;
                reasoning.item(sealed::seal(&blocks, seals, key_id))
            }
            // A call that has no end was cut off, whatever follows it.
            Some(Open::Call(call)) => call.end(Status::Incomplete, index, &mut self.events),
        };
        self.done(item);
    }

    fn added(&mut self, item: &OutputItem) {
        self.item_event("response.output_item.added", item);
    }

    fn done(&mut self, item: OutputItem) {
        self.item_event("response.output_item.done", &item);
        self.items.push(item);
    }

    fn item_event(&mut self, kind: &str, item: &OutputItem) {
        let body = EventBody {
            output_index: Some(self.items.len()),
            item: Some(item),
            ..EventBody::default()
        };
        self.events.write(kind, body);
    }
}

#[cfg(test)]
mod tests;
