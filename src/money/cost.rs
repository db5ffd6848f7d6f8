use std::ops::Add;

use super::NanoUsd;

/// The cost of one call, by bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub input: NanoUsd,
    pub cache_read: NanoUsd,
    pub cache_write: NanoUsd,
    pub cache_write_1h: NanoUsd,
    /// Output, including reasoning.
    pub output: NanoUsd,
    /// Uses of tools that AWS runs, such as web search.
    pub server_tools: NanoUsd,
    /// Images that are billed per image, in the input or made by the model, and seconds of video.
    pub media: NanoUsd,
    /// Queries to reranking models, and texts of embedding models that bill them so.
    pub queries: NanoUsd,
    /// Guardrails, in calls to models and applied by the gateway.
    pub guardrails: NanoUsd,
}

impl Cost {
    /// The sum of all buckets.
    pub fn total(&self) -> NanoUsd {
        let Self {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            server_tools,
            media,
            queries,
            guardrails,
        } = *self;
        [
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            server_tools,
            media,
            queries,
            guardrails,
        ]
        .into_iter()
        .sum()
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            cache_read: self.cache_read + other.cache_read,
            cache_write: self.cache_write + other.cache_write,
            cache_write_1h: self.cache_write_1h + other.cache_write_1h,
            output: self.output + other.output,
            server_tools: self.server_tools + other.server_tools,
            media: self.media + other.media,
            queries: self.queries + other.queries,
            guardrails: self.guardrails + other.guardrails,
        }
    }
}
