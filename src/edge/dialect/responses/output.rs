//! Turns the chunks of an answer into items, and writes the events about them. A whole reply is read in the same way, so
//! that the two cannot differ.

mod call;
mod open;

use serde_json::Value;

use super::{events::Events, names::ToolNames, sealed};
use crate::{
    edge::seal::{Purpose, Seals},
    money::Usage,
    openai::{
        completion::{Annotation as Citation, FinishReason},
        responses::served::{EventBody, OutputItem, Status},
    },
    operation::chat::Chunk,
};

use open::{Message, Open, Reasoning, annotation};

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
    /// The first text of the answer, until the next chunk tells whether it is an answer.
    first: Option<Chunk>,
    has_begun: bool,
    /// Chunks that wait for the end of a call, because only one item is open at a time.
    held: Vec<Chunk>,
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
            first: None,
            has_begun: false,
            held: Vec::new(),
            position: 0,
            summary: String::new(),
        }
    }

    /// Adds the next chunk.
    pub fn chunk(&mut self, chunk: Chunk) {
        match &chunk {
            Chunk::Usage(usage) => self.usage = Some(*usage),
            Chunk::Guardrail(trace) => self.guardrail = Some(trace.clone()),
            Chunk::StopSequence(_) => {}
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
        if reason == FinishReason::ContentFilter
            && let Some(Chunk::Content(text) | Chunk::CitedContent(text, _)) = self.first.take()
        {
            self.blocked = Some(text);
            return;
        }
        self.flush_first();
        let is_cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        while !self.held.is_empty() {
            self.release();
        }
        self.close(match is_cut {
            true => Status::Incomplete,
            false => Status::Completed,
        });
        if self.settings.compacts && !is_cut && !self.summary.is_empty() {
            self.compaction();
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

    fn flush_first(&mut self) {
        if let Some(first) = self.first.take() {
            self.add(first);
        }
    }

    /// Adds a chunk of output.
    fn add(&mut self, chunk: Chunk) {
        let Some(chunk) = self.give_to_open_call(chunk) else {
            return;
        };
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
            Chunk::ToolCall { index, id, name } => self.start_call(index, &id, &name),
            // A call that is not open has ended.
            Chunk::ToolArguments { .. } => {}
            Chunk::CustomToolCall { id, call, .. } => self.custom_call(&id, call),
            Chunk::Image(image) => self.image(image),
            Chunk::ServerTool(block) => self.server_tool(&block),
            // Only chat completions have these; the others are not output.
            Chunk::FunctionCall(_) | Chunk::FunctionArguments(_) => {}
            Chunk::StopSequence(_) | Chunk::Finish(_) | Chunk::Guardrail(_) | Chunk::Usage(_) => {}
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
            Some(Open::Call(call)) => call.end(status, index, &mut self.events),
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
