//! Amounts of money, as integers.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Deserialize, Deserializer};

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
    /// Parses US dollars as a decimal with up to nine decimal places, exactly. Returns `None` for any other text.
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

    /// Returns US dollars as a float, for gauges and counters.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the exact amount is in the ledger; this is for graphs"
    )]
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// Formats the exact amount of US dollars as a plain decimal: `0.0000123`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The price of one token in pico-dollars, which equals micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PicoUsd(pub u64);

/// Formats the exact price in US dollars per million tokens as a plain decimal.
impl fmt::Display for PicoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl PicoUsd {
    /// Returns the price of `tokens`, rounded up to whole nano-dollars, so that a sum of costs is never below the bill.
    pub fn times(self, tokens: u64) -> NanoUsd {
        let pico = u128::from(self.0) * u128::from(tokens);
        NanoUsd(u64::try_from(pico.div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

/// Parses US dollars per million tokens, with up to six decimal places.
impl FromStr for PicoUsd {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "a price is US dollars per million tokens, with at most six decimal places";
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PicoUsd {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_parse_and_format_exactly() {
        assert_eq!(parsed("3"), PicoUsd(3_000_000));
        assert_eq!(parsed("0.0825"), PicoUsd(82_500));
        assert_eq!(parsed("0.000001"), PicoUsd(1));
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
}
