//! The parts of a chat that a guardrail of the gateway evaluates, and the most that this can cost.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::Chat;
use crate::{
    call::{Caller, RetrievalRequest},
    model::Model,
    money::{MostUnits, NanoUsd},
    operation::guarded::{self, INPUT, UNIT, WINDOW, most_units},
};

pub mod texts;

pub use texts::Scope;

/// What guardrails said about a call so far, in the form of Converse's trace. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Assessments(pub Arc<Mutex<Map<String, Value>>>);

/// Reports whether the gateway applies a guardrail to answers. It then drops what the guardrail blocks.
pub fn covers_output(model: &Model, caller: &Caller) -> bool {
    caller.guardrails_for(model).output.is_some()
}

/// The most that the guardrail of a chat can cost, if the gateway applies it. `images` and `output_tokens` are the most
/// images of the input and the most output of one answer.
pub fn most(
    chat: &Chat,
    model: &Model,
    caller: &Caller,
    images: u64,
    output_tokens: u64,
) -> NanoUsd {
    let guardrails = caller.guardrails_for(model);
    let mut most = MostUnits::default();
    let retrieval = chat.retrieval.as_deref();
    if guardrails.input.is_some() {
        let texts = texts::all(chat, model, Scope::All).into_iter();
        most.text += texts
            .map(|text| most_units(text.chars().count() as u64, INPUT))
            .sum::<u64>();
        most.text += retrieval.map_or(0, |retrieval| most_units(retrieval.max_bytes(), INPUT));
        most.images += images;
    }
    if guardrails.output.is_some() {
        let chars = guarded::answer_chars(output_tokens);
        // At least as many as the units of a whole answer in parts of `ANSWER`.
        let windows = (chars / WINDOW.min as u64 + 1).saturating_mul(chat.choices().into());
        most.text = most.text.saturating_add(windows);
        let compared = retrieval.map_or(0, |retrieval| 2 + source_units(retrieval));
        most.grounding = windows.saturating_mul(compared);
    }
    guarded::most(most, model)
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
