//! The token counts that the service reports of an answer, and whether they can be true. Every route of chats counts here.

use super::finish::ReplySize;
use crate::{bedrock::reply::TokenUsage, money::Usage};

/// The counts of one answer. Without final ones, or if those are impossible, the usage is an estimate that is never less
/// than what was reported.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    last: TokenUsage,
    /// `last` counts the whole answer.
    is_final: bool,
    /// The highest counts so far.
    highest: TokenUsage,
}

impl Reported {
    /// Adds counts. They replace earlier ones. `is_final` means that they count the whole answer.
    pub fn add(&mut self, counts: TokenUsage, is_final: bool) {
        self.highest = higher(std::mem::take(&mut self.highest), counts.clone());
        (self.last, self.is_final) = (counts, is_final);
    }

    /// Records that more output has arrived, so that the counts are not final.
    pub fn outdate(&mut self) {
        self.is_final = false;
    }

    /// Returns the usage of an answer of this size. `reasoning` is the reported number of reasoning tokens.
    pub fn usage(&self, reasoning: Option<u64>, size: ReplySize, estimate: Estimate) -> Usage {
        let reasoning = reasoning.unwrap_or(0);
        if self.is_final && is_possible(&self.last, reasoning, size) {
            return from_counts(&self.last);
        }
        let reported = lower_bound(&self.highest);
        let more = estimate.input.saturating_sub(reported.prompt());
        let reasoning = if is_plausible(reasoning) {
            reasoning
        } else {
            0
        };
        Usage {
            input: reported.input.saturating_add(more),
            output: reported.output.max(estimate.output).max(reasoning),
            estimated: true,
            ..reported
        }
    }
}

/// The final counts of a reply, or none.
impl From<Option<TokenUsage>> for Reported {
    fn from(counts: Option<TokenUsage>) -> Self {
        let mut reported = Self::default();
        if let Some(counts) = counts {
            reported.add(counts, true);
        }
        reported
    }
}

/// What the gateway assumes without counts, in tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimate {
    pub input: u64,
    pub output: u64,
}

/// Reports whether an answer of this size can have these counts. A model reads at least one token, unless a guardrail
/// blocks the input, and writes at least one if there is output. Parts are not larger than the whole.
fn is_possible(counts: &TokenUsage, reasoning: u64, size: ReplySize) -> bool {
    let usage = from_counts(counts);
    let has_written = size.reply_bytes > 0 && !size.is_blocked;
    let hour = hour(counts);
    all(counts).all(|count| count >= 0)
        && usage.is_plausible()
        && (usage.prompt() > 0 || size.is_blocked)
        && (usage.output > 0 || !has_written)
        && reasoning <= usage.output
        && hour <= usage.cache_write
}

fn is_plausible(output: u64) -> bool {
    let usage = Usage {
        output,
        ..Usage::default()
    };
    usage.is_plausible()
}

/// Returns what of the counts can be true. Parts that contradict the whole are left out.
fn lower_bound(counts: &TokenUsage) -> Usage {
    let usage = from_counts(counts);
    if all(counts).any(|count| count < 0) {
        let prompt = prompt(counts);
        return Usage {
            input: Some(count(prompt))
                .filter(|one| is_plausible(*one))
                .unwrap_or(0),
            output: Some(usage.output)
                .filter(|one| is_plausible(*one))
                .unwrap_or(0),
            ..Usage::default()
        };
    }
    match usage.is_plausible() {
        true => usage,
        false => Usage::default(),
    }
}

/// Returns the counts with the larger prompt, and the larger output of both.
fn higher(one: TokenUsage, other: TokenUsage) -> TokenUsage {
    let output_tokens = one.output_tokens.max(other.output_tokens);
    let more = match prompt(&one) > prompt(&other) {
        true => one,
        false => other,
    };
    TokenUsage {
        output_tokens,
        ..more
    }
}

/// All input. Counts of parts can be negative where the service reports parts that are larger than the whole.
fn prompt(counts: &TokenUsage) -> i64 {
    let parts = [counts.input_tokens, read(counts), write(counts)];
    parts.into_iter().fold(0, i64::saturating_add)
}

fn read(counts: &TokenUsage) -> i64 {
    let documented = counts.cache_read_input_tokens;
    documented
        .or(counts.cache_read_input_token_count)
        .unwrap_or(0)
}

fn write(counts: &TokenUsage) -> i64 {
    let documented = counts.cache_write_input_tokens;
    documented
        .or(counts.cache_write_input_token_count)
        .unwrap_or(0)
}

/// The cache writes with a time to live of one hour.
fn hour(counts: &TokenUsage) -> u64 {
    let details = counts.cache_details.iter().flatten();
    let hour = details.filter(|detail| detail.ttl == "1h");
    hour.map(|detail| count(detail.input_tokens))
        .fold(0, u64::saturating_add)
}

fn all(counts: &TokenUsage) -> impl Iterator<Item = i64> {
    let details = counts.cache_details.iter().flatten();
    let details = details.map(|detail| detail.input_tokens);
    [
        counts.input_tokens,
        counts.output_tokens,
        read(counts),
        write(counts),
    ]
    .into_iter()
    .chain(details)
    .chain(counts.server_tool_usage.values().copied())
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn from_counts(counts: &TokenUsage) -> Usage {
    let cache_write = count(write(counts));
    let uses = counts.server_tool_usage.values();
    Usage {
        input: count(counts.input_tokens),
        cache_read: count(read(counts)),
        cache_write,
        cache_write_1h: hour(counts).min(cache_write),
        output: count(counts.output_tokens),
        server_tool_uses: uses.map(|uses| count(*uses)).fold(0, u64::saturating_add),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests;
