//! The text that a guardrail of the gateway evaluates: how it is split, and the most that this can cost.

use crate::{
    catalogue,
    model::Model,
    money::{MostUnits, NanoUsd},
};

/// The characters of one billed unit. Source: the pricing page of Amazon Bedrock, Guardrails, 2026-11.
pub const UNIT: u64 = 1000;

/// The lengths of a part of a text, in characters. A part ends at a boundary of the text between them if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLength {
    pub min: usize,
    pub max: usize,
}

/// The parts of an input. A request has several.
pub const INPUT: PartLength = PartLength {
    min: 8_000,
    max: 10_000,
};

/// The parts of a whole answer: the longest that the contextual grounding check takes.
pub const ANSWER: PartLength = PartLength {
    min: 4_000,
    max: 5_000,
};

/// The parts of a streamed answer. A client waits for this much text.
pub const WINDOW: PartLength = PartLength {
    min: 800,
    max: 1_000,
};

/// The service's limits on what an answer is checked against, in characters.
pub const MAX_SOURCE: usize = 100_000;
pub const MAX_QUERY: usize = 1_000;

/// The most characters of a token, on average over an answer. The gateway ends a longer answer.
const CHARS_PER_TOKEN: u64 = 16;

/// Returns the end of the first part of `text`, or `None` if the text is shorter than a part.
pub fn cut(text: &str, length: PartLength) -> Option<usize> {
    let mut ends = text.char_indices().skip(length.min);
    let (mut line, mut word) = (None, None);
    let mut before = None;
    for _ in length.min..length.max {
        let (at, c) = ends.next()?;
        if before == Some('\n') || (before.is_some_and(is_end) && c.is_whitespace()) {
            line = Some(at);
        } else if c.is_whitespace() {
            word = Some(at);
        }
        before = Some(c);
    }
    let end = ends.next().map_or(text.len(), |(at, _)| at);
    Some(line.or(word).unwrap_or(end))
}

fn is_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '。' | '！' | '？')
}

/// Splits a text into parts.
pub fn split(mut text: &str, length: PartLength) -> Vec<&str> {
    let mut parts = Vec::new();
    while let Some(end) = cut(text, length) {
        let (part, rest) = text.split_at(end);
        parts.push(part);
        text = rest;
    }
    if !text.is_empty() {
        parts.push(text);
    }
    parts
}

/// The billed units of one text.
pub fn units(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(UNIT).max(1)
}

/// The most units of a text of `chars` characters in its parts: each part is rounded up.
pub fn most_units(chars: u64, length: PartLength) -> u64 {
    chars.div_ceil(UNIT) + chars / length.min as u64 + 1
}

/// The longest text of an answer with `tokens` of output, in characters.
pub fn answer_chars(tokens: u64) -> u64 {
    tokens.saturating_mul(CHARS_PER_TOKEN)
}

/// The most that `units` can cost. Every request is retried on its own, and every attempt can be billed.
pub fn most(units: MostUnits, model: &Model) -> NanoUsd {
    let once = catalogue::guardrail_price().most(units);
    NanoUsd(once.0.saturating_mul(model.retry.attempts.max(1).into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_ends_at_a_sentence_or_else_at_a_word() {
        let length = PartLength { min: 4, max: 10 };
        let end = |text: &'static str| cut(text, length).map(|end| &text[..end]);
        assert_eq!(end("One two. A"), Some("One two."));
        assert_eq!(end("One two an"), Some("One two"));
        assert_eq!(end("Onetwothree"), Some("Onetwothre"));
        assert_eq!(end("One\ntwo\nth"), Some("One\ntwo\n"));
        assert_eq!(end("One two a"), None, "shorter than a part");
    }

    proptest! {
        #[test]
        fn parts_lose_nothing_and_cost_no_more_than_their_bound(text in "[a-z漢é .\n]{0,3000}", min in 100usize..900) {
            let length = PartLength { min, max: 1000 };
            let parts = split(&text, length);
            prop_assert_eq!(parts.concat(), text.as_str());
            let (_, cut) = parts.split_last().unwrap_or((&"", &[]));
            for part in cut {
                prop_assert!((min..=1000).contains(&part.chars().count()));
            }
            let billed: u64 = parts.iter().map(|part| units(part)).sum();
            prop_assert!(billed <= most_units(text.chars().count() as u64, length));
        }
    }
}
