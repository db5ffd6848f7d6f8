//! The limit of the output that a request gets if its client sets none.

use std::fmt;

use super::Model;

/// The largest limit that [`DefaultMaxTokens::Auto`] chooses, in tokens. AWS deducts the limit of a request from the quota
/// when the request begins, so a model's whole maximum would leave room for few requests at once.
pub const AUTO_MOST: u32 = 32_768;

/// The limit for a model whose maximum is unknown, because the service rejects one above the maximum, and the least that a
/// budget lowers the default to, in tokens.
pub const AUTO_LEAST: u32 = 4096;

/// The bytes of text that are counted as one token of input when the room for the output is estimated. English has about
/// four, code and other languages about three.
const BYTES_PER_TOKEN: u64 = 3;

/// The default of `max_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultMaxTokens {
    /// The model's maximum, but no more than [`AUTO_MOST`].
    #[default]
    Auto,
    /// The operator's number of tokens.
    Fixed(u32),
}

impl fmt::Display for DefaultMaxTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(tokens) => tokens.fmt(f),
        }
    }
}

impl Model {
    /// The limit of the output of a short request that sets none, in tokens.
    pub fn default_max_tokens(&self) -> u32 {
        match self.defaults.max_tokens {
            DefaultMaxTokens::Fixed(tokens) => tokens,
            DefaultMaxTokens::Auto => self
                .facts
                .max_output_tokens
                .map_or(AUTO_LEAST, |most| most.min(AUTO_MOST)),
        }
    }

    /// The limit of the output of a request of `text` bytes and `media` tokens that sets none, in tokens. Models reject a
    /// limit that does not fit into the context window beside the input, so an automatic one leaves room for long input.
    pub fn default_max_tokens_beside(&self, text: u64, media: u64) -> u32 {
        let default = self.default_max_tokens();
        let (DefaultMaxTokens::Auto, Some(window)) =
            (self.defaults.max_tokens, self.facts.context_window)
        else {
            return default;
        };
        let room = window.saturating_sub(text / BYTES_PER_TOKEN + media);
        // The input is only estimated. Without any room, the service decides.
        let least = u64::from(AUTO_LEAST).min(window / 2);
        let room = u32::try_from(room.max(least)).unwrap_or(u32::MAX);
        default.min(room)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Facts, Target};

    fn model(window: Option<u64>, most: Option<u32>) -> Model {
        let facts = Facts {
            context_window: window,
            max_output_tokens: most,
            ..Facts::default()
        };
        Model {
            facts: Arc::new(facts),
            ..Model::new("m", Target::new("vendor.m", "us-east-1"))
        }
    }

    #[test]
    fn automatic_limit_is_the_maximum_of_the_model_within_bounds() {
        for (most, expected) in [
            (Some(128_000), AUTO_MOST),
            (Some(8192), 8192),
            (Some(2048), 2048),
            (None, AUTO_LEAST),
        ] {
            assert_eq!(model(None, most).default_max_tokens(), expected, "{most:?}");
        }
    }

    #[test]
    fn automatic_limit_leaves_room_for_the_input() {
        let claude = model(Some(200_000), Some(64_000));
        for (text, expected) in [
            (0, AUTO_MOST),
            (480_000, AUTO_MOST),
            (540_000, 20_000),
            (900_000, AUTO_LEAST),
        ] {
            assert_eq!(claude.default_max_tokens_beside(text, 0), expected);
        }
        assert_eq!(claude.default_max_tokens_beside(480_000, 20_000), 20_000);
        let small = model(Some(4096), Some(4096));
        assert_eq!(small.default_max_tokens_beside(3000, 0), 3096);
        assert_eq!(small.default_max_tokens_beside(30_000, 0), 2048);
    }

    #[test]
    fn number_of_the_operator_applies_to_every_request() {
        let mut model = model(Some(4096), Some(4096));
        model.defaults.max_tokens = DefaultMaxTokens::Fixed(500);
        assert_eq!(model.default_max_tokens_beside(1_000_000, 0), 500);
    }
}
