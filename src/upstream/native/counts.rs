//! The usage that an endpoint reports, with its cost.

use serde_json::Value;

use crate::{
    bedrock::reply::{ServiceTier, TokenUsage},
    money,
    upstream::converse::{ReplyPlan, finish},
};

/// What is known of the usage of an answer.
#[derive(Debug, Default)]
pub struct Counts {
    /// The tokens by the buckets that AWS bills, once they are reported.
    pub tokens: Option<TokenUsage>,
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
        self.priced(self.tokens.clone(), guardrail, size, plan)
    }

    /// Estimates the usage of an answer that broke off, of which `unseen` tokens of output can be hidden. What the service
    /// has reported so far is a lower bound.
    pub fn estimate(&self, unseen: u64, size: finish::ReplySize, plan: &ReplyPlan) -> money::Usage {
        let guess = self.priced(None, None, size, plan);
        let known = self.tokens.clone().unwrap_or_default();
        let most = |guess: u64, known: i64| i64::try_from(guess).unwrap_or(i64::MAX).max(known);
        let counts = TokenUsage {
            input_tokens: most(guess.input, known.input_tokens),
            output_tokens: most(guess.output.max(unseen), known.output_tokens),
            ..known
        };
        let mut usage = self.priced(Some(counts), None, size, plan);
        usage.estimated = true;
        usage
    }

    fn priced(
        &self,
        counts: Option<TokenUsage>,
        guardrail: Option<&Value>,
        size: finish::ReplySize,
        plan: &ReplyPlan,
    ) -> money::Usage {
        let tier = self.tier.as_deref().map(|tier| match tier {
            "standard" => "default",
            other => other,
        });
        let terms = finish::Terms {
            tier: tier.map(|kind| ServiceTier {
                kind: kind.to_owned(),
            }),
            guardrail,
            ..finish::Terms::default()
        };
        finish::usage(counts, terms, self.reasoning, size, plan)
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
