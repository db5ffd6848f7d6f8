//! The parts of a chat that a guardrail of the gateway evaluates, and the most that this can cost.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::{Chat, Message};
use crate::{
    call::{Caller, RetrievalRequest},
    catalogue,
    model::Model,
    money::{GuardrailFees, MostUnits, NanoUsd, PicoUsd},
    operation::guarded::{self, INPUT, UNIT, most_units},
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

/// The most that a guardrail can cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    pub fixed: NanoUsd,
    /// For each token of the most output of one answer, for all answers together.
    pub per_output_token: PicoUsd,
}

/// The most that the guardrails of a chat can cost, if the gateway applies them. `images` are the most images of the input.
pub fn most(chat: &Chat, model: &Model, caller: &Caller, images: u64) -> Most {
    let guardrails = caller.guardrails_for(model);
    let mut input = MostUnits::default();
    let retrieval = chat.retrieval.as_deref();
    if guardrails.input.is_some() {
        let texts = texts::all(chat, model, Scope::All).into_iter();
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
    if guardrails.output.is_some() {
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

/// The most texts of an answer, each of which is rounded up to whole units.
const ANSWER_TEXTS: u64 = 8;

/// The most that the guardrail in the call to the model can cost for each request: the operator's, or else the client's.
/// `text` is the most text of the request in bytes, and `images` the most images. A stream is reserved like a whole answer,
/// because the service does not document into how many parts it divides one.
pub fn in_call(
    chat: &Chat,
    model: &Model,
    caller: &Caller,
    text: u64,
    images: u64,
) -> GuardrailFees {
    let policies = caller.guardrails_for(model);
    let has_own = chat
        .bedrock
        .as_ref()
        .is_some_and(|own| own.guardrail.is_some());
    if policies.in_call.is_none() && !(policies.is_empty() && has_own) {
        return GuardrailFees::default();
    }
    let parts = |messages: &Vec<Message>| messages.iter().map(Message::texts).sum::<u64>();
    let texts = chat.conversations().map(parts).max().unwrap_or_default();
    let fetched = chat.retrieval.as_deref().map_or(0, |_| 2);
    fees(text, texts + fetched, images, chat.retrieval.is_some())
}

/// The most that the guardrail in a call can cost for `text` bytes in so many `texts`. If the answer `is_compared`, it is
/// compared with everything that was sent, at most.
pub fn fees(text: u64, texts: u64, images: u64, is_compared: bool) -> GuardrailFees {
    let units = text / UNIT + texts + ANSWER_TEXTS;
    let compared = |units| if is_compared { units } else { 0 };
    let price = catalogue::guardrail_price();
    let fixed = price.most(MostUnits {
        text: units,
        grounding: compared(units),
        images,
    });
    let unit = price.most(MostUnits {
        text: 1,
        grounding: compared(1),
        images: 0,
    });
    GuardrailFees {
        fixed,
        per_output_token: guarded::per_token(unit),
    }
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
