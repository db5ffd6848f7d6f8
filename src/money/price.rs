//! Prices. A price is parsed from decimal text to pico-dollars per token. A cost is in nano-dollars.

use serde::{Deserialize, Deserializer};

use super::{Cost, NanoUsd, PicoUsd, Usage};

/// The service tier that a call is billed at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    #[default]
    Standard,
    Flex,
    Priority,
    /// The standard tier with latency-optimized inference.
    Optimized,
}

/// The prices of a model, per token. A cache bucket without a price is billed as input.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: PicoUsd,
    pub output: PicoUsd,
    #[serde(default)]
    pub cache_read: Option<PicoUsd>,
    /// Cache writes with a time to live of five minutes.
    #[serde(default)]
    pub cache_write: Option<PicoUsd>,
    /// Cache writes with a time to live of one hour.
    #[serde(default)]
    pub cache_write_1h: Option<PicoUsd>,
    #[serde(default)]
    pub flex_input: Option<PicoUsd>,
    #[serde(default)]
    pub flex_output: Option<PicoUsd>,
    #[serde(default)]
    pub priority_input: Option<PicoUsd>,
    #[serde(default)]
    pub priority_output: Option<PicoUsd>,
    /// Latency-optimized inference.
    #[serde(default)]
    pub optimized_input: Option<PicoUsd>,
    #[serde(default)]
    pub optimized_output: Option<PicoUsd>,
    /// One use of a tool that AWS runs, such as web search.
    #[serde(skip)]
    pub server_tool_use: Option<NanoUsd>,
    /// One input image, if images are billed per image.
    #[serde(default, deserialize_with = "us_dollars")]
    pub input_image: Option<NanoUsd>,
    /// The prices for long inputs, by ascending threshold. The last one whose threshold the input exceeds applies to the
    /// whole call.
    #[serde(default)]
    pub long_context: Vec<LongContext>,
}

/// The prices of calls whose input exceeds a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    pub above_input_tokens: u64,
    #[serde(default)]
    pub input: Option<PicoUsd>,
    #[serde(default)]
    pub output: Option<PicoUsd>,
    #[serde(default)]
    pub cache_read: Option<PicoUsd>,
    #[serde(default)]
    pub cache_write: Option<PicoUsd>,
    #[serde(default)]
    pub cache_write_1h: Option<PicoUsd>,
}

impl Price {
    /// Creates a price with only the standard buckets.
    pub fn new(input: PicoUsd, output: PicoUsd) -> Self {
        Self {
            input,
            output,
            cache_read: None,
            cache_write: None,
            cache_write_1h: None,
            flex_input: None,
            flex_output: None,
            priority_input: None,
            priority_output: None,
            optimized_input: None,
            optimized_output: None,
            server_tool_use: None,
            input_image: None,
            long_context: Vec::new(),
        }
    }

    /// Returns the highest prices of input and output that a call can be billed at. `None` if the tier has no price.
    pub fn highest(&self, tier: Tier, may_cache: bool) -> Option<(PicoUsd, PicoUsd)> {
        let long =
            |of: fn(&LongContext) -> Option<PicoUsd>| self.long_context.iter().filter_map(of).max();
        let (tier_input, tier_output) = match tier {
            Tier::Standard | Tier::Flex => (self.input, self.output),
            // The service can fall back to the standard tier.
            Tier::Priority => (
                self.priority_input.unwrap_or(self.input),
                self.priority_output.unwrap_or(self.output),
            ),
            Tier::Optimized => (self.optimized_input?, self.optimized_output?),
        };
        let plain = long(|long| long.input).max(Some(self.input.max(tier_input)))?;
        let written = long(|long| long.cache_write.max(long.cache_write_1h))
            .max(self.cache_write)
            .max(self.cache_write_1h);
        // The price of the cache scales with that of the input in a tier, and in a long context without cache prices.
        let written = written.map(|written| ratio(written, plain, self.input));
        let input = if may_cache {
            written.unwrap_or(plain).max(plain)
        } else {
            plain
        };
        Some((
            input,
            long(|long| long.output).max(Some(self.output.max(tier_output)))?,
        ))
    }

    /// Returns the cost of `usage`, with each bucket rounded up to whole nano-dollars. `None` if something was used that
    /// has no price, because a partial cost would be mistaken for the total.
    pub fn cost(&self, usage: &Usage, tier: Tier) -> Option<Cost> {
        let long = self
            .long_context
            .iter()
            .rfind(|long| usage.prompt() > long.above_input_tokens);
        let (tier_input, tier_output) = match tier {
            Tier::Standard => (None, None),
            Tier::Flex => (self.flex_input, self.flex_output),
            Tier::Priority => (self.priority_input, self.priority_output),
            Tier::Optimized => (Some(self.optimized_input?), Some(self.optimized_output?)),
        };
        let server_tools = match usage.server_tool_uses {
            0 => NanoUsd::default(),
            uses => NanoUsd(self.server_tool_use?.0.saturating_mul(uses)),
        };
        let images = match usage.images {
            0 => NanoUsd::default(),
            images => NanoUsd(self.input_image?.0.saturating_mul(images)),
        };
        let input = long
            .and_then(|long| long.input)
            .or(tier_input)
            .unwrap_or(self.input);
        let output = long
            .and_then(|long| long.output)
            .or(tier_output)
            .unwrap_or(self.output);
        // AWS does not list cache prices for tiers, but scales all buckets of a tier by the same factor.
        let scale =
            |price: PicoUsd| tier_input.map_or(price, |tier| ratio(price, tier, self.input));
        // A bucket without a long-context price scales with the input.
        let bucket = |of_long: Option<PicoUsd>, own: Option<PicoUsd>| {
            of_long.or(own.map(|own| {
                if long.is_some() {
                    ratio(own, input, self.input)
                } else {
                    scale(own)
                }
            }))
        };
        let cache_read =
            bucket(long.and_then(|long| long.cache_read), self.cache_read).unwrap_or(input);
        let cache_write =
            bucket(long.and_then(|long| long.cache_write), self.cache_write).unwrap_or(input);
        let cache_write_1h = bucket(
            long.and_then(|long| long.cache_write_1h),
            self.cache_write_1h,
        )
        .unwrap_or(cache_write);
        Some(Cost {
            input: input.times(usage.input),
            cache_read: cache_read.times(usage.cache_read),
            cache_write: cache_write.times(usage.cache_write_5m()),
            cache_write_1h: cache_write_1h.times(usage.cache_write_1h),
            output: output.times(usage.output),
            server_tools,
            images,
            reranking: NanoUsd::default(),
            guardrails: NanoUsd::default(),
        })
    }
}

/// Deserializes US dollars from decimal text.
fn us_dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NanoUsd>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| {
        NanoUsd::parse(&text).ok_or_else(|| serde::de::Error::custom("not an amount of US dollars"))
    })
    .transpose()
}

/// Returns `price * new / old`, rounded up.
fn ratio(price: PicoUsd, new: PicoUsd, old: PicoUsd) -> PicoUsd {
    if old.0 == 0 {
        return price;
    }
    let scaled = (u128::from(price.0) * u128::from(new.0)).div_ceil(u128::from(old.0));
    PicoUsd(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
