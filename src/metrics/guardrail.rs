//! Guardrails that the gateway applies.

use metrics::counter;

use super::GUARDRAILS;

/// Counts a judgment of a guardrail. `source` is `input` or `output`; `action` is `pass`, `mask`, `block` or `error`.
pub fn guardrail(model: &str, source: &'static str, action: &'static str) {
    counter!(GUARDRAILS, "model" => model.to_owned(), "source" => source, "action" => action)
        .increment(1);
}
