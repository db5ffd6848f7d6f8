//! The parts of a chat that a guardrail of the gateway evaluates, and the most that this can cost.

use super::{Chat, Message, Part, Role};
use crate::{
    call::{Caller, RetrievalRequest},
    model::{Apply, Model},
    money::{MostUnits, NanoUsd, PicoUsd},
    operation::guarded::{self, INPUT, UNIT, most_units},
};

/// Reports whether a guardrail evaluates the text of the message. System text is the application's.
pub fn is_evaluated(message: &Message) -> bool {
    message.role != Role::System
}

/// The texts in a part that a guardrail evaluates. Neither reasoning nor arguments of tool calls are among them.
pub fn texts(part: &Part) -> Vec<&str> {
    match part {
        Part::Text(text) => vec![text],
        Part::Retrieved(retrieved) => {
            let passages = retrieved.text.get(retrieved.passages.clone());
            passages.into_iter().collect()
        }
        Part::ToolResult(result) => result.content.iter().filter_map(Part::as_text).collect(),
        _ => Vec::new(),
    }
}

/// Reports whether the gateway applies a guardrail to answers. It then drops what the guardrail blocks.
pub fn covers_output(model: &Model, caller: &Caller) -> bool {
    let apply = caller.guardrail_for(model).and_then(|policy| policy.apply);
    apply.is_some_and(Apply::covers_output)
}

/// The most that a guardrail can cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    pub fixed: NanoUsd,
    /// For each token of the most output of one answer, for all answers together.
    pub per_output_token: PicoUsd,
}

/// The most that the guardrail of a chat can cost, if the gateway applies it. `images` are the most images of the input.
pub fn most(chat: &Chat, model: &Model, caller: &Caller, images: u64) -> Most {
    let apply = caller
        .guardrail_for(model)
        .and_then(|guardrail| guardrail.apply);
    let Some(apply) = apply else {
        return Most::default();
    };
    let mut input = MostUnits::default();
    let retrieval = chat.retrieval.as_deref();
    if apply.covers_input() {
        let messages = chat
            .conversations()
            .flatten()
            .filter(|message| is_evaluated(message));
        let texts = messages
            .flat_map(|message| &message.parts)
            .flat_map(|part| texts(part));
        input.text += texts
            .map(|text| most_units(text.chars().count() as u64, INPUT))
            .sum::<u64>();
        input.text += retrieval.map_or(0, |retrieval| most_units(retrieval.max_bytes(), INPUT));
        input.images += images;
    }
    let mut most = Most {
        fixed: guarded::most(input, model),
        per_output_token: PicoUsd(0),
    };
    if apply.covers_output() {
        // One part of every answer, which is one unit.
        let answers = u64::from(chat.choices());
        let compared = retrieval.map_or(0, |retrieval| 2 + source_units(retrieval));
        let parts = MostUnits {
            text: answers,
            grounding: answers.saturating_mul(compared),
            images: 0,
        };
        let parts = guarded::most(parts, model);
        most.fixed = most.fixed + parts;
        most.per_output_token = guarded::per_output_token(parts);
    }
    most
}

/// The most units of the passages that an answer is checked against.
fn source_units(retrieval: &RetrievalRequest) -> u64 {
    let passages: u64 = retrieval
        .searches
        .iter()
        .map(|search| u64::from(search.max_results))
        .sum();
    // Two characters separate the passages.
    (u64::from(retrieval.max_context_chars) + 2 * passages).div_ceil(UNIT)
}
