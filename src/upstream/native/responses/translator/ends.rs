//! The ends of items. Each repeats the whole item, which its pieces must add up to.

use std::collections::VecDeque;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::ItemTranslator;
use crate::{
    openai::responses::{OutputItem, OutputMessage, OutputPart, ReasoningItem},
    operation::chat::Chunk,
};

impl ItemTranslator {
    /// Ends an item.
    pub(super) fn item_done(&mut self, index: u32, item: OutputItem, out: &mut VecDeque<Chunk>) {
        let Some(state) = self.item(index) else {
            return;
        };
        state.is_done = true;
        let has_deltas = state.has_deltas;
        match item {
            OutputItem::Message(message) if has_deltas => {
                let rest = self.rest(index, &text_of(&message));
                self.text(rest, out);
            }
            OutputItem::Message(OutputMessage { content }) => {
                for part in content {
                    match part {
                        OutputPart::OutputText { text } => self.text(text, out),
                        OutputPart::Refusal { refusal } => self.refusal(refusal, out),
                        OutputPart::Other => self.answer.unknown("content that is not text"),
                    }
                }
            }
            OutputItem::Reasoning(item) => self.reasoning_done(index, *item, has_deltas, out),
            OutputItem::FunctionCall(call) => {
                self.start(index, &call, out);
                let rest = self.rest(index, &call.arguments);
                self.answer.tool_input(index, rest, out);
                self.answer.block_stop(index, out);
            }
            OutputItem::CustomToolCall(call) => self.custom_done(index, &call, out),
            OutputItem::Other => self.answer.unknown("an item that is no message or call"),
        }
    }

    /// Ends the items of the whole response that had no end of their own.
    pub(super) fn open_items_done(&mut self, items: Vec<OutputItem>, out: &mut VecDeque<Chunk>) {
        for (index, item) in (0..).zip(items) {
            let is_open = |own: &super::Item| own.index == index && !own.is_done;
            if self.items.iter().any(is_open) {
                self.item_done(index, item, out);
            }
        }
    }

    /// Returns what the whole content of an item has beyond the pieces that came before.
    pub(super) fn rest(&mut self, index: u32, whole: &str) -> String {
        let received = self.item(index).map(|item| item.received.as_str());
        if let Some(rest) = whole.strip_prefix(received.unwrap_or_default()) {
            return rest.to_owned();
        }
        // Some endpoints leave out of an item what they have sent in pieces.
        if !whole.is_empty() {
            self.warnings.add(
                "reply: an item differs from its pieces, which are passed on (Bedrock sent both)",
            );
        }
        String::new()
    }

    fn reasoning_done(
        &mut self,
        index: u32,
        item: ReasoningItem,
        has_deltas: bool,
        out: &mut VecDeque<Chunk>,
    ) {
        if !has_deltas {
            let content = item.content.as_deref().unwrap_or_default();
            let shown = match item.summary.is_empty() {
                true => content,
                false => &item.summary,
            };
            for (part, shown) in (0..).zip(shown) {
                self.thought(index, part, &shown.text, out);
            }
        }
        // The whole item is what a later request must send back.
        if item.encrypted_content.is_some()
            && let Ok(item) = serde_json::to_vec(&item)
        {
            self.answer.redacted(index, &STANDARD.encode(item));
        }
        self.answer.block_stop(index, out);
    }
}

fn text_of(message: &OutputMessage) -> String {
    let texts = message.content.iter().map(|part| match part {
        OutputPart::OutputText { text } => text.as_str(),
        OutputPart::Refusal { refusal } => refusal,
        OutputPart::Other => "",
    });
    texts.collect()
}
