//! The text that a guardrail of the gateway evaluates: how it is split, and the most that this can cost.

mod masks;

pub use masks::released;

use crate::{
    catalogue,
    model::Model,
    money::{MostUnits, NanoUsd, PicoUsd},
};

/// The characters of one billed unit. Source: the pricing page of Amazon Bedrock, Guardrails, 2026-11.
pub const UNIT: u64 = 1000;

/// The lengths of a part of a text, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLength {
    /// A part ends at a boundary of the text between `min` and `max` if there is one.
    pub min: usize,
    pub max: usize,
    /// The most characters at the end of a part that the next part repeats, because a blocked phrase can begin in one
    /// part and end in the next. At least three quarters of them are repeated.
    pub overlap: usize,
}

/// The parts of an input.
pub const INPUT: PartLength = PartLength {
    min: 16_000,
    max: 20_000,
    overlap: 500,
};

/// The parts of a whole answer: the longest that the contextual grounding check takes.
pub const ANSWER: PartLength = PartLength {
    min: 4_000,
    max: 5_000,
    overlap: 500,
};

/// The parts of a streamed answer. A client waits for this much text.
pub const WINDOW: PartLength = PartLength {
    min: 800,
    max: 1_000,
    overlap: 200,
};

/// The service's limits on what an answer is checked against, in characters.
pub const MAX_SOURCE: usize = 100_000;
pub const MAX_QUERY: usize = 1_000;

/// The most characters of a token, on average over an answer. The gateway ends a longer answer.
const CHARS_PER_TOKEN: u64 = 16;

/// The first part of a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The end of the part, which is judged as a whole.
    pub end: usize,
    /// The start of its tail, which the next part repeats. Only what precedes the tail may be released.
    pub tail: usize,
}

impl Cut {
    /// The last part: all of `text`, without a tail.
    pub fn last(text: &str) -> Self {
        Self {
            end: text.len(),
            tail: text.len(),
        }
    }
}

/// Returns the first part of `text`, or `None` if the text is shorter than a part.
pub fn cut(text: &str, length: PartLength) -> Option<Cut> {
    let mut ends = text.char_indices().skip(length.min);
    let (mut line, mut word) = (None, None);
    let mut before = None;
    for _ in length.min..length.max {
        let (at, c) = ends.next()?;
        let ends_line =
            |before| before == '\n' || is_wide_end(before) || (is_end(before) && c.is_whitespace());
        if before.is_some_and(ends_line) {
            line = Some(at);
        } else if c.is_whitespace() || before.is_some_and(is_wide_pause) {
            word = Some(at);
        }
        before = Some(c);
    }
    let end = ends.next().map_or(text.len(), |(at, _)| at);
    let end = line.or(word).unwrap_or(end);
    let tail = tail(&text[..end], length.overlap);
    Some(Cut { end, tail })
}

/// Returns the start of the last `overlap` characters, or of the first word that begins shortly behind it: a part of a
/// word can be another word.
fn tail(part: &str, overlap: usize) -> usize {
    let last = part.char_indices().rev().take(overlap).last();
    let start = last.map_or(part.len(), |(at, _)| at);
    let mut near = part[start..].char_indices().take(overlap / 4);
    let word = near
        .by_ref()
        .find(|(_, c)| c.is_whitespace())
        .and_then(|_| near.find(|(_, c)| !c.is_whitespace()));
    start + word.map_or(0, |(at, _)| at)
}

/// Ends a sentence if white space follows.
fn is_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '؟' | '۔')
}

/// Ends a sentence of a script that writes no white space behind it.
fn is_wide_end(c: char) -> bool {
    matches!(
        c,
        '。' | '！' | '？' | '｡' | '．' | '।' | '॥' | '።' | '။' | '។'
    )
}

/// Separates clauses in a script that writes no white space behind it.
fn is_wide_pause(c: char) -> bool {
    matches!(c, '，' | '、' | '；' | '：' | '､')
}

/// The billed units of one text.
pub fn units(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(UNIT).max(1)
}

/// The most parts of a text of `chars` characters.
fn most_parts(chars: u64, length: PartLength) -> u64 {
    match chars.checked_sub(length.max as u64) {
        None => 1,
        // The last part that is cut begins at least `max` characters before the end.
        Some(before) => before / step(length) + 2,
    }
}

/// The fewest characters between the starts of two parts.
fn step(length: PartLength) -> u64 {
    (length.min - length.overlap) as u64
}

/// The most units of a text of `chars` characters in its parts: each part is rounded up, and all but the first repeat
/// the tail of another.
pub fn most_units(chars: u64, length: PartLength) -> u64 {
    let parts = most_parts(chars, length);
    let judged = chars.saturating_add((parts - 1) * length.overlap as u64);
    let by_length = judged.saturating_add(parts * (UNIT - 1)) / UNIT;
    let by_part = parts * (length.max as u64).div_ceil(UNIT);
    by_length.min(by_part).max(1)
}

/// The price of each token of an answer whose parts cost `part` each, if one part is paid apart from it. Parts of
/// [`WINDOW`] are the most, and have the most units.
pub fn per_output_token(part: NanoUsd) -> PicoUsd {
    let pico = u128::from(part.0) * 1000 * u128::from(CHARS_PER_TOKEN);
    PicoUsd(u64::try_from(pico.div_ceil(step(WINDOW).into())).unwrap_or(u64::MAX))
}

/// The price of each token of an answer that is judged in whole units, which cost `unit` each.
pub fn per_token(unit: NanoUsd) -> PicoUsd {
    PicoUsd((unit.0.saturating_mul(1000 * CHARS_PER_TOKEN)).div_ceil(UNIT))
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
mod tests;
