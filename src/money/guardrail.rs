use serde::{Deserialize, Deserializer};

use super::NanoUsd;
use crate::bedrock::guardrail::GuardrailUsage;

/// The most automated reasoning policies of a guardrail. Source: quotas of Amazon Bedrock, 2026-11.
const REASONING_POLICIES: u64 = 2;

/// The prices of a guardrail's policies, for each unit of text or each image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailPrice {
    #[serde(deserialize_with = "us_dollars")]
    pub content: NanoUsd,
    #[serde(deserialize_with = "us_dollars")]
    pub content_image: NanoUsd,
    #[serde(deserialize_with = "us_dollars")]
    pub topic: NanoUsd,
    #[serde(deserialize_with = "us_dollars")]
    pub word: NanoUsd,
    #[serde(deserialize_with = "us_dollars")]
    pub sensitive: NanoUsd,
    #[serde(deserialize_with = "us_dollars")]
    pub grounding: NanoUsd,
    #[serde(deserialize_with = "us_dollars")]
    pub automated_reasoning: NanoUsd,
}

/// Upper bounds of the units that a guardrail bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MostUnits {
    /// Units of text that every policy except contextual grounding bills.
    pub text: u64,
    /// Units of text that the contextual grounding check bills.
    pub grounding: u64,
    pub images: u64,
}

/// More units than any evaluation has. No context window comes near a billion units, so a larger count is a fault of the
/// service, and its cost would exhaust any budget.
const IMPLAUSIBLE: u64 = 1 << 30;

impl GuardrailPrice {
    /// The cost of the units that the service reports. `None` if it reports more than an evaluation can have.
    pub fn plausible_cost(&self, units: &GuardrailUsage) -> Option<NanoUsd> {
        let most = NanoUsd(self.content.0.saturating_mul(IMPLAUSIBLE));
        Some(self.cost(units)).filter(|cost| *cost < most)
    }

    /// The cost of the units that the service reports.
    pub fn cost(&self, units: &GuardrailUsage) -> NanoUsd {
        [
            (self.content, units.content_policy_units),
            (self.content_image, units.content_policy_image_units),
            (self.topic, units.topic_policy_units),
            (self.word, units.word_policy_units),
            (self.sensitive, units.sensitive_information_policy_units),
            (self.grounding, units.contextual_grounding_policy_units),
            (
                self.automated_reasoning,
                units.automated_reasoning_policy_units,
            ),
        ]
        .into_iter()
        .map(|(price, units)| times(price, units))
        .sum()
    }

    /// The most that the units can cost, whatever policies the guardrail has.
    pub fn most(&self, units: MostUnits) -> NanoUsd {
        let text = [
            self.content,
            self.topic,
            self.word,
            self.sensitive,
            times(self.automated_reasoning, REASONING_POLICIES),
        ];
        times(text.into_iter().sum(), units.text)
            + times(self.grounding, units.grounding)
            + times(self.content_image, units.images)
    }
}

fn times(price: NanoUsd, count: u64) -> NanoUsd {
    NanoUsd(price.0.saturating_mul(count))
}

fn us_dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NanoUsd, D::Error> {
    let text = String::deserialize(deserializer)?;
    NanoUsd::parse(&text).ok_or_else(|| serde::de::Error::custom("not an amount of US dollars"))
}
