//! Values with units.

use std::time::Duration;

use bytesize::ByteSize;

use super::{Section, Value};
use crate::{config::tree::Origin, model::DefaultMaxTokens};

/// Longer than anyone needs, and too short for a clock to overflow.
const MAX_DURATION: Duration = Duration::from_secs(30 * 86_400);
const MAX_LONG_DURATION: Duration = Duration::from_secs(3650 * 86_400);

/// The largest value that Bedrock's service model allows.
const MAX_TOKENS: u32 = i32::MAX as u32;

/// A fraction, in percent.
fn share(value: &Value) -> Result<u8, Option<String>> {
    let Value::Float(share) = value else {
        return Err(None);
    };
    let percent = (share * 100.0).round();
    match (1.0..=100.0).contains(&percent) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 100"
        )]
        true => Ok(percent as u8),
        false => Err(Some("must be between 0.01 and 1.0".to_owned())),
    }
}

impl Section<'_> {
    /// A duration such as `"30s"`, longer than zero.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.between(
            key,
            Duration::from_nanos(1),
            MAX_DURATION,
            "must be longer than zero and at most 30 days",
        )
    }

    /// A duration that may be `"0s"`.
    pub fn pause(&mut self, key: &'static str) -> Option<Duration> {
        self.between(key, Duration::ZERO, MAX_DURATION, "must be at most 30 days")
    }

    /// A duration such as `"90d"`, up to ten years.
    pub fn long_duration_or(&mut self, key: &'static str, default: Duration) -> Duration {
        let bounds = "must be longer than zero and at most ten years";
        self.between(key, Duration::from_nanos(1), MAX_LONG_DURATION, bounds)
            .unwrap_or_else(|| {
                self.diagnostics
                    .resolved(self.path_of(key), shown(default), Origin::Default);
                default
            })
    }

    /// Fractions such as `[0.8, 0.95]`, in percent.
    pub fn shares(&mut self, key: &'static str) -> Option<Vec<u8>> {
        let path = self.path_of(key);
        let (shares, origin) = self.read_raw(
            key,
            "a list of numbers between 0 and 1",
            |value| match value {
                Value::Array(items) => items
                    .iter()
                    .map(|item| share(&item.value))
                    .collect::<Result<Vec<u8>, _>>(),
                _ => Err(None),
            },
        )?;
        self.diagnostics
            .resolved(path, format!("{shares:?} %"), origin);
        Some(shares)
    }

    /// A limit of the output: a number of tokens, or `"auto"`.
    pub fn max_tokens(&mut self, key: &'static str) -> Option<DefaultMaxTokens> {
        self.read(key, "a whole number or \"auto\"", |value| match value {
            Value::String(text) if text == "auto" => Ok(DefaultMaxTokens::Auto),
            Value::Integer(tokens) => match u32::try_from(*tokens) {
                Ok(tokens) if (1..=MAX_TOKENS).contains(&tokens) => {
                    Ok(DefaultMaxTokens::Fixed(tokens))
                }
                _ => Err(Some(format!(
                    "must be \"auto\" or between 1 and {MAX_TOKENS}"
                ))),
            },
            _ => Err(None),
        })
    }

    fn between(
        &mut self,
        key: &'static str,
        least: Duration,
        most: Duration,
        bounds: &'static str,
    ) -> Option<Duration> {
        let path = self.path_of(key);
        let (duration, origin) =
            self.read_raw(key, "a duration such as \"30s\"", |value| match value {
                Value::String(text) => match humantime::parse_duration(text) {
                    Ok(duration) if duration >= least && duration <= most => Ok(duration),
                    Ok(_) => Err(Some(bounds.to_owned())),
                    Err(error) => Err(Some(format!(
                        "'{text}' is not a duration such as \"30s\": {error}"
                    ))),
                },
                _ => Err(None),
            })?;
        self.diagnostics.resolved(path, shown(duration), origin);
        Some(duration)
    }

    pub fn duration_or(&mut self, key: &'static str, default: Duration) -> Duration {
        self.duration(key).unwrap_or_else(|| {
            self.diagnostics
                .resolved(self.path_of(key), shown(default), Origin::Default);
            default
        })
    }

    /// Like [`pause`](Self::pause), with a default.
    pub fn pause_or(&mut self, key: &'static str, default: Duration) -> Duration {
        self.pause(key).unwrap_or_else(|| {
            self.diagnostics
                .resolved(self.path_of(key), shown(default), Origin::Default);
            default
        })
    }

    /// A size such as `"32MiB"`, in bytes.
    pub fn size_or(&mut self, key: &'static str, default: ByteSize) -> ByteSize {
        let read = self.read(key, "a size such as \"32MiB\"", |value| match value {
            Value::String(text) => match text.parse::<ByteSize>() {
                Ok(size) if size.as_u64() > 0 => Ok(size),
                Ok(_) => Err(Some("must be more than zero".to_owned())),
                Err(error) => Err(Some(format!(
                    "'{text}' is not a size such as \"32MiB\": {error}"
                ))),
            },
            _ => Err(None),
        });
        self.or_default(key, read, default)
    }
}

/// Formats a duration as it is usually written. In humantime's own format, 90 days are two months and some hours.
fn shown(duration: Duration) -> String {
    const DAY: u64 = 86_400;
    match duration.as_secs() {
        seconds if seconds >= 30 * DAY && seconds.is_multiple_of(DAY) => {
            format!("{}d", seconds / DAY)
        }
        _ => humantime::format_duration(duration).to_string(),
    }
}
