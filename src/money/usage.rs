use std::ops::Add;

use super::Cost;

/// Tokens of one call, in the buckets that AWS bills, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input that was neither read from nor written to the prompt cache.
    pub input: u64,
    pub cache_read: u64,
    /// Written to the cache, for five minutes or an hour.
    pub cache_write: u64,
    /// That part of `cache_write` which was written for an hour.
    pub cache_write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// That part of `output` which was reasoning; never more than it.
    pub reasoning: u64,
    /// How often tools were used that AWS runs itself, such as its web search.
    pub server_tool_uses: u64,
    /// Images of the input that are billed by the piece.
    pub images: u64,
    /// The model did not say how much of its output was reasoning.
    pub reasoning_estimated: bool,
    /// The service did not say; counted by the gateway.
    pub estimated: bool,
    /// The tier that Bedrock served the call in, in OpenAI's words; none where it did not say.
    pub service_tier: Option<&'static str>,
    /// None where the model has no known price.
    pub cost: Option<Cost>,
}

impl Usage {
    /// What OpenAI calls prompt tokens: all input, cached or not.
    pub fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }

    pub fn total(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }

    /// Written to the cache for five minutes.
    pub fn cache_write_5m(&self) -> u64 {
        self.cache_write.saturating_sub(self.cache_write_1h)
    }
}

/// Several calls that answer one request.
impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            server_tool_uses: self.server_tool_uses.saturating_add(other.server_tool_uses),
            images: self.images.saturating_add(other.images),
            reasoning_estimated: self.reasoning_estimated || other.reasoning_estimated,
            estimated: self.estimated || other.estimated,
            service_tier: other.service_tier.or(self.service_tier),
            cost: self.cost.zip(other.cost).map(|(a, b)| a + b),
        }
    }
}
