//! Collects the events of an answer into a whole message.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use crate::anthropic::{
    event::{Delta, Event},
    reply::ContentBlock,
};

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
