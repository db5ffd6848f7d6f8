//! Calls of tools whose input is text. They become calls whose arguments have the text as a string, as on all routes.

use std::collections::VecDeque;

use serde_json::Value;

use super::ItemTranslator;
use crate::{
    openai::responses::{CustomToolCall, FunctionCall},
    operation::chat::Chunk,
};

/// What is around the input of a custom tool in the arguments of a call.
const CUSTOM_START: &str = "{\"input\":\"";
const CUSTOM_END: &str = "\"}";

impl ItemTranslator {
    /// Adds a piece of the input of a custom tool, as a string in the arguments of a call.
    pub(super) fn custom_input(&mut self, index: u32, delta: &str, out: &mut VecDeque<Chunk>) {
        let Some(item) = self.item(index).filter(|item| item.is_started) else {
            return;
        };
        let start = match item.has_deltas {
            true => "",
            false => CUSTOM_START,
        };
        self.record(index, delta);
        let piece = format!("{start}{}", escaped(delta));
        self.answer.tool_input(index, piece, out);
    }

    pub(super) fn custom_done(
        &mut self,
        index: u32,
        call: &CustomToolCall,
        out: &mut VecDeque<Chunk>,
    ) {
        self.start_custom(index, call, out);
        let rest = self.rest(index, &call.input);
        // Writes the start of the arguments, too.
        self.custom_input(index, &rest, out);
        // Without its end, the call looks cut off, as it is.
        if call.status.as_deref() != Some("incomplete") {
            self.answer.tool_input(index, CUSTOM_END.to_owned(), out);
        }
        self.answer.block_stop(index, out);
    }

    pub(super) fn start_custom(
        &mut self,
        index: u32,
        call: &CustomToolCall,
        out: &mut VecDeque<Chunk>,
    ) {
        let call = FunctionCall {
            call_id: call.call_id.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            arguments: String::new(),
        };
        self.start(index, &call, out);
    }
}

/// Returns text as it is inside a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_escaped_one_by_one() {
        let pieces = ["say \"hi\"\n", "\u{e9}\\"];
        let joined: String = pieces.map(escaped).concat();
        let text: String = serde_json::from_str(&format!("\"{joined}\"")).unwrap();
        assert_eq!(text, pieces.concat());
    }
}
