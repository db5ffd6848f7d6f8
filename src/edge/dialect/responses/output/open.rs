//! Items that have begun and not ended: text and reasoning.

use super::{super::events::Events, call::Call};
use crate::openai::{
    completion::{Annotation as Citation, ThinkingBlock, UrlCitation},
    responses::served::{Annotation, EventBody, OutputItem, OutputPart, Status, SummaryPart},
};

/// The item that is open. There is only one at a time.
#[derive(Debug)]
pub enum Open {
    Message(Message),
    Reasoning(Reasoning),
    Call(Call),
}

/// A message of one text.
#[derive(Debug)]
pub struct Message {
    id: String,
    /// The code points of the answer before it.
    pub start: usize,
    text: String,
    annotations: Vec<Annotation>,
}

impl Message {
    /// Creates an empty message.
    pub fn new(id: String, start: usize) -> Self {
        Self {
            id,
            start,
            text: String::new(),
            annotations: Vec::new(),
        }
    }

    /// Returns the item, with its content unless it has only begun.
    pub fn item(&self, status: Status, has_content: bool) -> OutputItem {
        OutputItem::Message {
            id: self.id.clone(),
            status,
            role: "assistant",
            content: has_content.then(|| self.part()).into_iter().collect(),
        }
    }

    /// Returns the text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn part(&self) -> OutputPart {
        OutputPart::OutputText {
            text: self.text.clone(),
            annotations: self.annotations.clone(),
            logprobs: [],
        }
    }

    /// Writes the event that begins the text.
    pub fn emit_start(&self, index: usize, events: &mut Events) {
        let part = self.part();
        let body = EventBody {
            content_part: Some(&part),
            ..self.body(index)
        };
        events.write("response.content_part.added", body);
    }

    /// Adds text.
    pub fn add(&mut self, text: &str, index: usize, events: &mut Events) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        let body = EventBody {
            delta: Some(text),
            logprobs: Some([]),
            ..self.body(index)
        };
        events.write("response.output_text.delta", body);
    }

    /// Adds a source.
    pub fn annotate(&mut self, annotation: Annotation, index: usize, events: &mut Events) {
        let body = EventBody {
            annotation_index: Some(self.annotations.len()),
            annotation: Some(&annotation),
            ..self.body(index)
        };
        events.write("response.output_text.annotation.added", body);
        self.annotations.push(annotation);
    }

    /// Writes the events that end the text.
    pub fn emit_end(&self, index: usize, events: &mut Events) {
        let body = EventBody {
            text: Some(&self.text),
            logprobs: Some([]),
            ..self.body(index)
        };
        events.write("response.output_text.done", body);
        let part = self.part();
        let body = EventBody {
            content_part: Some(&part),
            ..self.body(index)
        };
        events.write("response.content_part.done", body);
    }

    fn body(&self, index: usize) -> EventBody<'_> {
        EventBody {
            item_id: Some(&self.id),
            output_index: Some(index),
            content_index: Some(0),
            ..EventBody::default()
        }
    }
}

/// A run of reasoning.
#[derive(Debug)]
pub struct Reasoning {
    id: String,
    is_shown: bool,
    summary: Vec<SummaryPart>,
    has_open_part: bool,
    /// Text since the last block, which is unsigned if no block follows.
    unsigned: String,
    blocks: Vec<ThinkingBlock>,
}

impl Reasoning {
    /// Creates empty reasoning. `is_shown` means that the client wants to see it.
    pub fn new(id: String, is_shown: bool) -> Self {
        Self {
            id,
            is_shown,
            summary: Vec::new(),
            has_open_part: false,
            unsigned: String::new(),
            blocks: Vec::new(),
        }
    }

    /// Returns the item.
    pub fn item(&self, encrypted_content: Option<String>) -> OutputItem {
        OutputItem::Reasoning {
            id: self.id.clone(),
            summary: self.summary.clone(),
            encrypted_content,
        }
    }

    /// Adds text.
    pub fn add(&mut self, text: &str, index: usize, events: &mut Events) {
        self.unsigned.push_str(text);
        if !self.is_shown {
            return;
        }
        if !self.has_open_part {
            self.has_open_part = true;
            let part = SummaryPart::SummaryText {
                text: String::new(),
            };
            self.summary.push(part);
            self.part_event("response.reasoning_summary_part.added", index, events);
        }
        if let Some(SummaryPart::SummaryText { text: shown }) = self.summary.last_mut() {
            shown.push_str(text);
        }
        let body = EventBody {
            delta: Some(text),
            ..self.body(index)
        };
        events.write("response.reasoning_summary_text.delta", body);
    }

    /// Adds a complete block, whose text came before it.
    pub fn block(&mut self, block: ThinkingBlock, index: usize, events: &mut Events) {
        self.end_part(index, events);
        self.unsigned.clear();
        self.blocks.push(block);
    }

    /// Writes the events that end the reasoning, and returns its blocks.
    pub fn end(&mut self, index: usize, events: &mut Events) -> Vec<ThinkingBlock> {
        self.end_part(index, events);
        if !self.unsigned.is_empty() {
            self.blocks.push(ThinkingBlock::Thinking {
                thinking: std::mem::take(&mut self.unsigned),
                signature: None,
            });
        }
        std::mem::take(&mut self.blocks)
    }

    fn end_part(&mut self, index: usize, events: &mut Events) {
        if !std::mem::take(&mut self.has_open_part) {
            return;
        }
        if let Some(SummaryPart::SummaryText { text }) = self.summary.last() {
            let body = EventBody {
                text: Some(text),
                ..self.body(index)
            };
            events.write("response.reasoning_summary_text.done", body);
        }
        self.part_event("response.reasoning_summary_part.done", index, events);
    }

    fn part_event(&self, kind: &str, index: usize, events: &mut Events) {
        let body = EventBody {
            summary_part: self.summary.last(),
            ..self.body(index)
        };
        events.write(kind, body);
    }

    fn body(&self, index: usize) -> EventBody<'_> {
        EventBody {
            item_id: Some(&self.id),
            output_index: Some(index),
            summary_index: Some(self.summary.len().saturating_sub(1)),
            ..EventBody::default()
        }
    }
}

/// Converts a citation. Its positions count from `start`. Only the web has URLs; everything else is a file.
pub fn annotation(citation: Citation, start: usize) -> Annotation {
    let Citation::UrlCitation {
        url_citation,
        bedrock_citation,
    } = citation;
    let UrlCitation {
        start_index,
        end_index,
        url,
        title,
    } = url_citation;
    if url.starts_with("https://") || url.starts_with("http://") {
        return Annotation::UrlCitation {
            start_index: start_index.saturating_sub(start),
            end_index: end_index.saturating_sub(start),
            url,
            title,
            bedrock_citation,
        };
    }
    Annotation::FileCitation {
        file_id: url,
        filename: title,
        index: end_index.saturating_sub(start),
        bedrock_citation,
    }
}
