use std::ops::Add;

use super::Cost;

/// The tokens of one call, in the buckets that AWS bills, and their cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input that was neither read from nor written to the prompt cache.
    pub input: u64,
    /// Input that was read from the prompt cache.
    pub cache_read: u64,
    /// Input that was written to the prompt cache.
    pub cache_write: u64,
    /// The part of `cache_write` with a time to live of one hour.
    pub cache_write_1h: u64,
    /// Output, including reasoning.
    pub output: u64,
    /// The part of `output` that is reasoning.
    pub reasoning: u64,
    /// The number of uses of tools that AWS runs, such as web search.
    pub server_tool_uses: u64,
    /// The number of input images that are billed per image.
    pub images: u64,
    /// The number of queries: to a reranking model, or texts of an embedding model that bills them so.
    pub queries: u64,
    /// The number of images that the model made.
    pub output_images: u64,
    /// The length of the videos in the input, in seconds, if it is billed.
    pub video_seconds: u64,
    /// `reasoning` is an estimate, because the model did not report it.
    pub reasoning_estimated: bool,
    /// The gateway counted the tokens, because the service did not report them.
    pub estimated: bool,
    /// The tier that Bedrock reported, in OpenAI's terms.
    pub service_tier: Option<&'static str>,
    /// The cost, if all prices are known.
    pub cost: Option<Cost>,
}

/// More tokens than any request has in one bucket.
const IMPLAUSIBLE: u64 = 1 << 30;

impl Usage {
    /// Reports whether a request can have used this. No context window comes near a billion tokens, so a larger count is a
    /// fault of the service or of a log, and its cost would exhaust any budget.
    pub fn is_plausible(&self) -> bool {
        let counts = [
            self.input,
            self.cache_read,
            self.cache_write,
            self.output,
            self.server_tool_uses,
        ];
        counts.iter().all(|count| *count < IMPLAUSIBLE)
    }

    /// The number of tokens that OpenAI calls prompt tokens: all input, cached or not.
    pub fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }

    /// The number of input and output tokens.
    pub fn total(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }

    /// The part of `cache_write` with a time to live of five minutes.
    pub fn cache_write_5m(&self) -> u64 {
        self.cache_write.saturating_sub(self.cache_write_1h)
    }
}

/// Adds the usage of several calls that answer one request.
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
            queries: self.queries.saturating_add(other.queries),
            output_images: self.output_images.saturating_add(other.output_images),
            video_seconds: self.video_seconds.saturating_add(other.video_seconds),
            reasoning_estimated: self.reasoning_estimated || other.reasoning_estimated,
            estimated: self.estimated || other.estimated,
            service_tier: other.service_tier.or(self.service_tier),
            cost: self.cost.zip(other.cost).map(|(a, b)| a + b),
        }
    }
}
