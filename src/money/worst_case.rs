use super::{NanoUsd, PicoUsd, Price, Tier, price::of_units};

/// Upper bounds of what a call uses, known before it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorstCase {
    /// The input of the largest request, in tokens.
    pub input_tokens: u64,
    /// The input of all requests together, in tokens, if the requests differ.
    pub total_input_tokens: Option<u64>,
    /// The output of one request, in tokens.
    pub output_tokens: u64,
    /// The number of requests to Bedrock.
    pub requests: u32,
    /// The number of input images that are billed per image, in all requests together.
    pub images: u64,
    /// The queries to a reranking or embedding model that each request is billed for.
    pub queries: u64,
    /// The images that the model makes for each request.
    pub output_images: u64,
    /// The length of the videos in the input of each request, in seconds, if it is billed.
    pub video_seconds: u64,
    /// Input can be written to the prompt cache, which costs more.
    pub may_cache: bool,
    pub tier: Tier,
    /// The model can use tools that AWS runs.
    pub server_tools: bool,
    /// The guardrail that each request carries.
    pub guardrail: GuardrailFees,
    /// The cost of all reranking and of guardrails that the gateway applies, which are billed apart from the model, as far
    /// as it does not depend on the output.
    pub fees: NanoUsd,
    /// The cost of guardrails that the gateway applies, for each token of `output_tokens`, for all answers together.
    pub output_fees: PicoUsd,
    /// The price of some reranking is unknown.
    pub unpriced_fees: bool,
}

/// An upper bound of what a guardrail costs that evaluates a request and its answer inside the call to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardrailFees {
    pub fixed: NanoUsd,
    pub per_output_token: PicoUsd,
}

impl GuardrailFees {
    /// The most for an answer of `output_tokens`.
    pub fn most(&self, output_tokens: u64) -> NanoUsd {
        self.fixed + self.per_output_token.times(output_tokens)
    }
}

/// The number of uses of tools run by AWS that are reserved for a request. The service documents no limit; this is more
/// than was ever observed.
const SERVER_TOOL_USES: u64 = 10;

/// The most chunks of documents that one query to a reranking model covers. Source: pricing page of Amazon Bedrock, 2026-11.
pub const CHUNKS_PER_QUERY: u64 = 100;

impl WorstCase {
    /// The most that one request can cost with `output_tokens` of output. `None` if a price is unknown.
    pub fn cost_of_one(&self, price: &Price, output_tokens: u64) -> Option<NanoUsd> {
        let (input, output) = price.highest(self.tier, self.may_cache)?;
        let server_tools = match self.server_tools {
            true => NanoUsd(price.server_tool_use?.0.saturating_mul(SERVER_TOOL_USES)),
            false => NanoUsd::default(),
        };
        // A request of a fan-out holds one image at most.
        let most = match self.total_input_tokens {
            Some(_) => self.images.min(1),
            None => self.images,
        };
        let images = of_units(price.input_image, most)?
            + of_units(price.output_image, self.output_images)?
            + of_units(price.query, self.queries)?
            + of_units(price.video_second, self.video_seconds)?;
        // Input in several buckets is rounded up in each of them.
        let buckets = [price.cache_read, price.cache_write, price.cache_write_1h];
        let rounding = NanoUsd(buckets.iter().flatten().count() as u64);
        let tokens = input.times(self.input_tokens) + output.times(output_tokens);
        let guardrail = self.guardrail.most(output_tokens);
        Some(tokens + rounding + server_tools + images + guardrail)
    }

    /// The most that the call can cost, without reranking of unknown price (`unpriced_fees`). `None` if a price of the
    /// model is unknown.
    pub fn cost(&self, price: &Price) -> Option<NanoUsd> {
        let requests = u64::from(self.requests.max(1));
        let all = match self.total_input_tokens {
            None => NanoUsd(
                self.cost_of_one(price, self.output_tokens)?
                    .0
                    .saturating_mul(requests),
            ),
            Some(input_tokens) => {
                let (input, _) = price.highest(self.tier, self.may_cache)?;
                // The cost of each request is rounded up separately.
                input.times(input_tokens)
                    + NanoUsd(requests)
                    + of_units(price.input_image, self.images)?
                    + of_units(price.query, self.queries.saturating_mul(requests))?
            }
        };
        Some(all + self.all_fees())
    }

    /// Reports whether the gateway applies a guardrail itself, or reranks.
    pub fn has_applied_guardrail(&self) -> bool {
        self.all_fees() != NanoUsd::default()
    }

    /// The most that all reranking and guardrails can cost.
    pub fn all_fees(&self) -> NanoUsd {
        self.fees + self.output_fees.times(self.output_tokens)
    }

    /// The most that `tokens` more input in every request can cost. `None` if a price is unknown.
    pub fn cost_of_growth(&self, price: &Price, tokens: u64) -> Option<NanoUsd> {
        let (input, _) = price.highest(self.tier, self.may_cache)?;
        // The requests of a fan-out share the input.
        let requests = match self.total_input_tokens {
            Some(_) => 1,
            None => u64::from(self.requests.max(1)),
        };
        // The guardrail evaluates at most one more text of this length. Its price is that of 16 characters.
        let guardrail = self.guardrail.per_output_token.times(tokens / 16 + 64);
        // A byte more may begin another chunk of each document that grows.
        let queries = match self.queries {
            0 => 0,
            _ => tokens.div_ceil(CHUNKS_PER_QUERY),
        };
        let each = input.times(tokens) + guardrail + of_units(price.query, queries)?;
        Some(NanoUsd(each.0.saturating_mul(requests)))
    }

    /// Returns the most output of each request, in tokens, that `money` pays for in addition to all input. `None` if the
    /// call has no output, a price is unknown, or `money` does not cover the input.
    pub fn output_for(&self, price: &Price, money: NanoUsd) -> Option<u64> {
        if self.output_tokens == 0 {
            return None;
        }
        let (_, output) = price.highest(self.tier, self.may_cache)?;
        let requests = u64::from(self.requests.max(1));
        let input = self.cost_of_one(price, 0)?.0.saturating_mul(requests);
        let left = money.0.checked_sub(self.fees.0)?.checked_sub(input)?;
        let guardrail = self.guardrail.per_output_token;
        let each = (u128::from(output.0) + u128::from(guardrail.0)) * u128::from(requests)
            + u128::from(self.output_fees.0);
        let tokens = |left: u64| {
            let tokens = u128::from(left) * 1000 / each.max(1);
            u64::try_from(tokens).unwrap_or(u64::MAX)
        };
        let fits = |tokens: &u64| {
            let output = output.times(*tokens) + guardrail.times(*tokens);
            let output = output.0.saturating_mul(requests);
            output.saturating_add(self.output_fees.times(*tokens).0) <= left
        };
        // The tokens and the guardrail of every request, and the fees, are rounded up to whole nano-dollars.
        let rounded = left.saturating_sub(2 * requests + 1);
        Some(tokens(left)).filter(fits).or(Some(tokens(rounded)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_output_that_fits_costs_no_more_than_the_money(
            money in 0u64..50_000_000, fees in 0u64..1_000_000, output_fees in 0u64..50_000_000,
            requests in 1u32..9, rate in 1u64..90_000_000, guardrail in 0u64..50_000_000,
        ) {
            let price = Price::new(PicoUsd(2_000_000), PicoUsd(rate));
            let worst = WorstCase {
                input_tokens: 100,
                output_tokens: 1_000_000,
                requests,
                guardrail: GuardrailFees {
                    fixed: NanoUsd(fees / 2),
                    per_output_token: PicoUsd(guardrail),
                },
                fees: NanoUsd(fees),
                output_fees: PicoUsd(output_fees),
                ..WorstCase::default()
            };
            if let Some(tokens) = worst.output_for(&price, NanoUsd(money)) {
                let cost = |output_tokens| WorstCase { output_tokens, ..worst }.cost(&price).unwrap();
                prop_assert!(tokens == 0 || cost(tokens) <= NanoUsd(money));
                let more = tokens + 2 + u64::from(2 * requests + 1) * 1000 / (rate + guardrail + output_fees);
                prop_assert!(cost(more) > NanoUsd(money), "almost all is used");
            }
        }
    }
}
