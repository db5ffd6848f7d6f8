//! Money: integers only. A price is exact decimal text that becomes pico-dollars per token; a cost is nano-dollars.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Deserialize, Deserializer};

use super::Usage;

/// Nano-dollars: one billionth of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoUsd(pub u64);

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl NanoUsd {
    /// US dollars as a decimal with up to nine decimal places, exactly. None where the text is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        // Python and JavaScript write small numbers with an exponent: `5e-05`.
        if let Some((number, exponent)) = text.split_once(['e', 'E']) {
            return Self::scaled(number, exponent.parse().ok()?);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let fits = !whole.is_empty()
            && whole.len() <= 9
            && fraction.len() <= 9
            && digits(whole)
            && digits(fraction);
        format!("{whole}{fraction:0<9}")
            .parse()
            .ok()
            .filter(|_| fits)
            .map(Self)
    }

    /// `number` dollars times ten to the power of `exponent`, if that is a whole number of nano-dollars.
    fn scaled(number: &str, exponent: i32) -> Option<Self> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits: u64 = digits.parse().ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        let power = exponent.checked_sub(places)?.checked_add(9)?;
        let factor = 10u64.checked_pow(power.unsigned_abs())?;
        let nanos = match power {
            0.. => digits.checked_mul(factor)?,
            _ if digits.is_multiple_of(factor) => digits / factor,
            _ => return None,
        };
        (nanos < 1_000_000_000_000_000_000).then_some(Self(nanos))
    }

    /// For gauges and counters, which are floats.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the exact amount is in the ledger; this is for graphs"
    )]
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// US dollars as a plain decimal, exactly: `0.0000123`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The price of one token in pico-dollars, which is the same number as micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PicoUsd(pub u64);

/// US dollars per million tokens as a plain decimal, exactly.
impl fmt::Display for PicoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl PicoUsd {
    /// Rounded up to whole nano-dollars, so that a sum of costs is never below the bill.
    pub fn times(self, tokens: u64) -> NanoUsd {
        let pico = u128::from(self.0) * u128::from(tokens);
        NanoUsd(u64::try_from(pico.div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

/// US dollars per million tokens, with up to six decimal places.
impl FromStr for PicoUsd {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "a price is US dollars per million tokens, with six decimal places at most";
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty()
            || whole.len() > 9
            || fraction.len() > 6
            || !digits(whole)
            || !digits(fraction)
        {
            return Err(WRONG);
        }
        format!("{whole}{fraction:0<6}")
            .parse()
            .map(Self)
            .map_err(|_| WRONG)
    }
}

impl<'de> Deserialize<'de> for PicoUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The tier that a call is billed at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    #[default]
    Standard,
    Flex,
    Priority,
    /// Standard, with optimized latency.
    Optimized,
}

/// What a model costs, per token. A bucket without a price costs what is next dearer to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: PicoUsd,
    pub output: PicoUsd,
    #[serde(default)]
    pub cache_read: Option<PicoUsd>,
    /// Written for five minutes.
    #[serde(default)]
    pub cache_write: Option<PicoUsd>,
    /// Written for an hour.
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
    /// With optimized latency.
    #[serde(default)]
    pub optimized_input: Option<PicoUsd>,
    #[serde(default)]
    pub optimized_output: Option<PicoUsd>,
    /// One use of a tool that AWS runs itself, such as its web search.
    #[serde(skip)]
    pub server_tool_use: Option<NanoUsd>,
    /// One image of the input, if images are billed by the piece.
    #[serde(default, deserialize_with = "us_dollars")]
    pub input_image: Option<NanoUsd>,
    /// The whole call is billed at the last of these whose threshold its input exceeds.
    #[serde(default)]
    pub long_context: Vec<LongContext>,
}

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

/// What one call costs, per bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub input: NanoUsd,
    pub cache_read: NanoUsd,
    pub cache_write: NanoUsd,
    pub cache_write_1h: NanoUsd,
    /// Reasoning included.
    pub output: NanoUsd,
    pub server_tools: NanoUsd,
    /// Of the input, billed by the piece.
    pub images: NanoUsd,
    /// Of passages, by models of its own.
    pub reranking: NanoUsd,
}

impl Cost {
    pub fn total(&self) -> NanoUsd {
        let Self {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            server_tools,
            images,
            reranking,
        } = *self;
        [
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            server_tools,
            images,
            reranking,
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
            images: self.images + other.images,
            reranking: self.reranking + other.reranking,
        }
    }
}

impl Price {
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

    /// The dearest rates of input and output that a call may be billed at. None where the tier has none.
    pub fn dearest(&self, tier: Tier, may_cache: bool) -> Option<(PicoUsd, PicoUsd)> {
        let long =
            |of: fn(&LongContext) -> Option<PicoUsd>| self.long_context.iter().filter_map(of).max();
        let (tier_input, tier_output) = match tier {
            Tier::Standard | Tier::Flex => (self.input, self.output),
            // The service may fall back to standard.
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
        // A tier, and a long context without a price of its own, make the cache as much dearer as the input.
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

    /// Each bucket by itself, rounded up to whole nano-dollars. None where something was used that has no price: a part
    /// of the cost would be taken for all of it.
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
        // A tier lists no cache prices: AWS scales all buckets of a tier alike.
        let scale =
            |price: PicoUsd| tier_input.map_or(price, |tier| ratio(price, tier, self.input));
        // A long context that lists no price for a bucket makes it dearer by as much as the input.
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
        })
    }
}

/// US dollars as decimal text.
fn us_dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NanoUsd>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| {
        NanoUsd::parse(&text).ok_or_else(|| serde::de::Error::custom("not an amount of US dollars"))
    })
    .transpose()
}

/// `price` times `new` by `old`, rounded up.
fn ratio(price: PicoUsd, new: PicoUsd, old: PicoUsd) -> PicoUsd {
    if old.0 == 0 {
        return price;
    }
    let scaled = (u128::from(price.0) * u128::from(new.0)).div_ceil(u128::from(old.0));
    PicoUsd(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> PicoUsd {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(price("3"), PicoUsd(3_000_000));
        assert_eq!(price("0.0825"), PicoUsd(82_500));
        assert_eq!(price("0.000001"), PicoUsd(1));
        for wrong in ["", ".5", "1.0000001", "-1", "1e3", "1.5.2", "9999999999"] {
            assert!(wrong.parse::<PicoUsd>().is_err(), "{wrong}");
        }
        assert_eq!(NanoUsd(1_230_000_004).to_string(), "1.230000004");
        assert_eq!(NanoUsd(12_300).to_string(), "0.0000123");
        assert_eq!(NanoUsd(2_000_000_000).to_string(), "2");
        assert_eq!(NanoUsd(0).to_string(), "0");
        for (text, nanos) in [
            ("5e-05", Some(50_000)),
            ("1.5E-7", Some(150)),
            ("2e+2", Some(200_000_000_000)),
            ("1e-9", Some(1)),
            ("10e-10", Some(1)),
            ("1e-10", None),
            ("1e9", None),
            ("1e99999999999", None),
            ("-1e-5", None),
            (".5e1", None),
            ("1e", None),
            ("e1", None),
        ] {
            assert_eq!(NanoUsd::parse(text), nanos.map(NanoUsd), "{text}");
        }
    }

    #[test]
    fn every_bucket_has_its_price() {
        let price = Price {
            cache_read: Some(price("0.33")),
            cache_write: Some(price("4.125")),
            cache_write_1h: Some(price("6.6")),
            ..Price::new(price("3.3"), price("16.5"))
        };
        let usage = Usage {
            input: 1000,
            cache_read: 10,
            cache_write: 30,
            cache_write_1h: 20,
            output: 7,
            ..Usage::default()
        };
        let cost = price.cost(&usage, Tier::Standard).unwrap();
        assert_eq!(cost.input, NanoUsd(3_300_000));
        assert_eq!(cost.cache_read, NanoUsd(3_300));
        assert_eq!(cost.cache_write, NanoUsd(41_250), "ten for five minutes");
        assert_eq!(cost.cache_write_1h, NanoUsd(132_000));
        assert_eq!(cost.output, NanoUsd(115_500));
        assert_eq!(cost.total(), NanoUsd(3_592_050));
    }

    #[test]
    fn tiers_and_long_contexts() {
        let long = LongContext {
            above_input_tokens: 100,
            input: Some(price("6")),
            output: None,
            cache_read: None,
            cache_write: None,
            cache_write_1h: None,
        };
        let price = Price {
            flex_input: Some(price("1.5")),
            flex_output: Some(price("7.5")),
            cache_read: Some(price("0.3")),
            long_context: vec![long],
            ..Price::new(price("3"), price("15"))
        };
        let usage = Usage {
            input: 100,
            output: 1,
            ..Usage::default()
        };
        assert_eq!(
            price.cost(&usage, Tier::Flex).unwrap().total(),
            NanoUsd(150_000 + 7_500)
        );
        let cached = Usage {
            cache_read: 10,
            ..Usage::default()
        };
        assert_eq!(
            price.cost(&cached, Tier::Flex).unwrap().total(),
            NanoUsd(1_500),
            "half of 0.3"
        );
        let over = Usage {
            input: 101,
            output: 1,
            ..Usage::default()
        };
        assert_eq!(
            price.cost(&over, Tier::Standard).unwrap().total(),
            NanoUsd(606_000 + 15_000)
        );
        let hour = Usage {
            cache_write: 101,
            cache_write_1h: 101,
            ..Usage::default()
        };
        let written = Price {
            cache_write_1h: Some("6".parse().unwrap()),
            ..price.clone()
        };
        assert_eq!(
            written.cost(&hour, Tier::Standard).unwrap().total(),
            NanoUsd(101 * 12_000),
            "twice as dear, as the input is"
        );
        let rounded = Usage {
            input: 1,
            ..Usage::default()
        };
        assert_eq!(
            Price::new(PicoUsd(1), PicoUsd(1))
                .cost(&rounded, Tier::Standard)
                .unwrap()
                .total(),
            NanoUsd(1)
        );
    }
}
