//! Stop sequences: those that the model accepts are sent, and the gateway applies the others to the text.

use regex_lite::Regex;

use crate::{
    call::Warnings,
    model::{Facts, Model},
    operation::chat::Chat,
};

/// Returns the stop sequences to send, and those that the gateway must apply itself.
pub fn stops<'a>(
    request: &'a Chat,
    model: &Model,
    warnings: &Warnings,
) -> (Vec<&'a str>, Vec<String>) {
    let facts = &model.facts;
    let given = request
        .stop
        .iter()
        .flat_map(|stop| &stop.0)
        .map(String::as_str)
        .filter(|stop| !stop.is_empty());
    let (mut sent, mut applied): (Vec<&str>, Vec<&str>) =
        given.partition(|stop| is_accepted(stop, facts));
    if let Some(max) = facts.max_stop.filter(|max| *max < sent.len()) {
        applied.extend(sent.drain(max..));
    }
    if !applied.is_empty() {
        warnings.add(
            "stop: emulated by cutting the text (the model does not support these stop sequences)",
        );
    }
    if facts.stop_in_text {
        applied.extend(&sent);
    }
    (sent, applied.into_iter().map(str::to_owned).collect())
}

/// Reports whether the model accepts the stop sequence. A pattern that is not a regular expression accepts none.
fn is_accepted(stop: &str, facts: &Facts) -> bool {
    let fits = |pattern: &str| {
        Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(stop))
    };
    facts.stop
        && (facts.blank_stop || !stop.trim().is_empty())
        && facts.stop_pattern.as_deref().is_none_or(fits)
}
