//! The usage that an endpoint reports, with its cost.

use serde_json::Value;

use crate::{
    bedrock::reply::{ServiceTier, TokenUsage},
    money,
    upstream::converse::{ReplyPlan, finish, reported::Reported},
};

/// What is known of the usage of an answer.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// The tokens by the buckets that AWS bills.
    pub tokens: Reported,
    /// The tokens of reasoning, which are part of the output.
    pub reasoning: Option<u64>,
    /// The tier that answered.
    pub tier: Option<String>,
}

impl Counts {
    /// Returns the reported usage, or an estimate from the size of the answer.
    pub fn usage(
        &self,
        guardrail: Option<&Value>,
        size: finish::ReplySize,
        plan: &ReplyPlan,
    ) -> money::Usage {
        let tier = self.tier.as_deref().map(|tier| match tier {
            "standard" => "default",
            "scale" => "reserved",
            other => other,
        });
        let terms = finish::Terms {
            tier: tier.map(|kind| ServiceTier {
                kind: kind.to_owned(),
            }),
            guardrail,
            ..finish::Terms::default()
        };
        finish::usage(&self.tokens, terms, self.reasoning, size, plan)
    }

    /// Estimates the usage of an answer that broke off. What the service has reported so far is a lower bound.
    pub fn estimate(&self, size: finish::ReplySize, plan: &ReplyPlan) -> money::Usage {
        let mut counts = self.clone();
        counts.tokens.outdate();
        counts.usage(None, size, plan)
    }
}

/// Splits counts into the buckets that AWS bills. `input` includes what was read from the cache and written to it.
pub fn buckets(input: i64, output: i64, read: Option<i64>, write: Option<i64>) -> TokenUsage {
    let (read, write) = (read.unwrap_or(0), write.unwrap_or(0));
    TokenUsage {
        input_tokens: input.saturating_sub(read).saturating_sub(write),
        output_tokens: output,
        cache_read_input_tokens: Some(read),
        cache_write_input_tokens: Some(write),
        ..TokenUsage::default()
    }
}
