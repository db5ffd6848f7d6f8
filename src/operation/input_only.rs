//! Operations of which a guardrail can judge only the input.

use super::{Operation, guarded};
use crate::{
    call::Caller,
    model::Model,
    money::{MostUnits, NanoUsd},
};

/// An operation whose reply has no text. A guardrail judges its input only.
pub trait InputOnly: Operation {
    /// The warning about an operator's guardrail that does not judge inputs.
    const NOT_APPLIED: &'static str;

    /// The warning about a guardrail that is to judge the reply too. `None` if nothing in the reply could be judged.
    const OUTPUT_NOT_APPLIED: Option<&'static str> = None;

    /// The texts of the input.
    fn texts(&self) -> Vec<&str>;

    /// The images of the input, as Base64.
    fn images(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Replaces the texts that a guardrail masked, in the order of [`texts`](Self::texts).
    fn replace_texts(&mut self, texts: Vec<Option<String>>);
}

/// The most that the guardrail of the input can cost, if there is one.
pub fn most_of_guardrail<T: InputOnly>(operation: &T, model: &Model, caller: &Caller) -> NanoUsd {
    if caller.guardrails_for(model).input.is_none() {
        return NanoUsd::default();
    }
    let units = |text: &str| guarded::most_units(text.chars().count() as u64, guarded::INPUT);
    let most = MostUnits {
        text: operation.texts().into_iter().map(units).sum(),
        images: operation.images().len() as u64,
        ..MostUnits::default()
    };
    guarded::most(most, model)
}
