//! Prices. A price is parsed from decimal text to pico-dollars per token. A cost is in nano-dollars.

use serde::{Deserialize, Deserializer};

mod ceiling;

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
    /// One query of a reranking model, or one text of an embedding model that bills it so.
    #[serde(default, deserialize_with = "us_dollars")]
    pub query: Option<NanoUsd>,
    /// One image that the model makes.
    #[serde(default, deserialize_with = "us_dollars")]
    pub output_image: Option<NanoUsd>,
    /// One second of video in the input, if video is billed by its length.
    #[serde(default, deserialize_with = "us_dollars")]
    pub video_second: Option<NanoUsd>,
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

/// The price of each bucket of one call, per token.
struct Rates {
    input: PicoUsd,
    cache_read: PicoUsd,
    cache_write: PicoUsd,
    cache_write_1h: PicoUsd,
    output: PicoUsd,
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
            query: None,
            output_image: None,
            video_second: None,
            long_context: Vec::new(),
        }
    }

    /// Returns the price with other prices of input and output. Tiers and long contexts keep their ratio to these.
    pub fn scaled(&self, input: PicoUsd, output: PicoUsd) -> Self {
        let of_input = |price: Option<PicoUsd>| price.map(|price| ratio(price, input, self.input));
        let of_output =
            |price: Option<PicoUsd>| price.map(|price| ratio(price, output, self.output));
        let long = self.long_context.iter().map(|long| LongContext {
            input: of_input(long.input),
            output: of_output(long.output),
            ..long.clone()
        });
        Self {
            input,
            output,
            flex_input: of_input(self.flex_input),
            flex_output: of_output(self.flex_output),
            priority_input: of_input(self.priority_input),
            priority_output: of_output(self.priority_output),
            optimized_input: of_input(self.optimized_input),
            optimized_output: of_output(self.optimized_output),
            long_context: long.collect(),
            ..self.clone()
        }
    }

    /// Returns the highest prices of input and output that a call can be billed at: in any context length, in its tier or
    /// in the standard tier, to which the service may fall back. `None` if the tier has no price.
    pub fn highest(&self, tier: Tier, may_cache: bool) -> Option<(PicoUsd, PicoUsd)> {
        let contexts = std::iter::once(None).chain(self.long_context.iter().map(Some));
        let (mut input, mut output) = (PicoUsd(0), PicoUsd(0));
        for long in contexts {
            for tier in [Tier::Standard, tier] {
                let rates = self.rates(long, tier)?;
                let dearest = match may_cache {
                    true => rates.cache_write.max(rates.cache_write_1h),
                    false => PicoUsd(0),
                };
                input = input.max(rates.input).max(rates.cache_read).max(dearest);
                output = output.max(rates.output);
            }
        }
        Some((input, output))
    }

    /// Returns the price of each bucket. A long context and a tier each scale the buckets without a price of their own.
    /// `None` if the tier has no price: its price is higher than the standard one, so another would be too low.
    fn rates(&self, long: Option<&LongContext>, tier: Tier) -> Option<Rates> {
        let (tier_input, tier_output) = match tier {
            Tier::Standard => (self.input, self.output),
            // A discount that is not known is not taken.
            Tier::Flex => (
                self.flex_input.unwrap_or(self.input),
                self.flex_output.unwrap_or(self.output),
            ),
            Tier::Priority => (self.priority_input?, self.priority_output?),
            Tier::Optimized => (self.optimized_input?, self.optimized_output?),
        };
        let long_input = long.and_then(|long| long.input).unwrap_or(self.input);
        let long_output = long.and_then(|long| long.output).unwrap_or(self.output);
        // AWS does not list cache prices for tiers, but scales all input of a tier by the same factor.
        let in_tier = |price| ratio(price, tier_input, self.input);
        let bucket = |of_long: Option<PicoUsd>, own: Option<PicoUsd>| {
            let scaled = || own.map(|own| ratio(own, long_input, self.input));
            of_long.or_else(scaled).map(in_tier)
        };
        let input = in_tier(long_input);
        let cache_write = bucket(long.and_then(|long| long.cache_write), self.cache_write);
        let cache_write = cache_write.unwrap_or(input);
        let cache_write_1h = bucket(
            long.and_then(|long| long.cache_write_1h),
            self.cache_write_1h,
        );
        Some(Rates {
            input,
            cache_read: bucket(long.and_then(|long| long.cache_read), self.cache_read)
                .unwrap_or(input),
            cache_write,
            cache_write_1h: cache_write_1h.unwrap_or(cache_write),
            output: ratio(long_output, tier_output, self.output),
        })
    }

    /// Returns the cost of `usage`, with each bucket rounded up to whole nano-dollars. `None` if something was used that
    /// has no price, because a partial cost would be mistaken for the total.
    pub fn cost(&self, usage: &Usage, tier: Tier) -> Option<Cost> {
        let long = self
            .long_context
            .iter()
            .rfind(|long| usage.prompt() > long.above_input_tokens);
        let Rates {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
        } = self.rates(long, tier)?;
        let server_tools = of_units(self.server_tool_use, usage.server_tool_uses)?;
        let input_images = of_units(self.input_image, usage.images)?;
        let output_images = of_units(self.output_image, usage.output_images)?;
        let videos = of_units(self.video_second, usage.video_seconds)?;
        Some(Cost {
            input: input.times(usage.input),
            cache_read: cache_read.times(usage.cache_read),
            cache_write: cache_write.times(usage.cache_write_5m()),
            cache_write_1h: cache_write_1h.times(usage.cache_write_1h),
            output: output.times(usage.output),
            server_tools,
            media: input_images + output_images + videos,
            queries: of_units(self.query, usage.queries)?,
            guardrails: NanoUsd::default(),
        })
    }
}

impl Price {
    /// Returns the cost of `usage` in the most expensive tier that has a price, for a tier that is not known.
    pub fn dearest_cost(&self, usage: &Usage) -> Option<Cost> {
        let tiers = [Tier::Standard, Tier::Flex, Tier::Priority, Tier::Optimized];
        let costs = tiers.into_iter().filter_map(|tier| self.cost(usage, tier));
        costs.max_by_key(Cost::total)
    }
}

/// Returns the cost of `count` units. `None` if there are any, and they have no price.
pub fn of_units(price: Option<NanoUsd>, count: u64) -> Option<NanoUsd> {
    match count {
        0 => Some(NanoUsd::default()),
        count => Some(NanoUsd(price?.0.saturating_mul(count))),
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
