use super::{NanoUsd, Price, Tier};

/// The most that a call can come to, known before it leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorstCase {
    /// An upper bound of one request's input, in tokens.
    pub input_tokens: u64,
    /// What `maxTokens` allows one answer.
    pub output_tokens: u64,
    /// Requests to Bedrock: `n`, and one more for each where an answer may be asked for again.
    pub requests: u32,
    /// Input may be written to the prompt cache, which costs more.
    pub may_cache: bool,
    pub tier: Tier,
    /// Tools that AWS runs itself may be used.
    pub server_tools: bool,
    /// What reranking of passages may cost in all, beside the model.
    pub fees: NanoUsd,
    /// The price of some reranking is not known.
    pub unpriced_fees: bool,
    /// About as many tokens as the input really has: four bytes each.
    pub likely_input_tokens: u64,
}

/// Uses of AWS's own tools that are set aside for a request. The service tells no bound; this is more than was ever seen.
const SERVER_TOOL_USES: u64 = 10;

impl WorstCase {
    /// What to expect of tokens, for limits that are corrected afterwards.
    pub fn likely_tokens(&self) -> u64 {
        self.likely_input_tokens
            .saturating_add(self.output_tokens)
            .saturating_mul(u64::from(self.requests.max(1)))
    }

    /// What one request may cost with `output_tokens` of output. None where the price of something is not known.
    pub fn cost_of_one(&self, price: &Price, output_tokens: u64) -> Option<NanoUsd> {
        let (input, output) = price.dearest(self.tier, self.may_cache)?;
        let server_tools = match self.server_tools {
            true => NanoUsd(price.server_tool_use?.0.saturating_mul(SERVER_TOOL_USES)),
            false => NanoUsd::default(),
        };
        Some(input.times(self.input_tokens) + output.times(output_tokens) + server_tools)
    }

    /// What all of it may cost, as far as prices are known: see `unpriced_fees`.
    pub fn cost(&self, price: &Price) -> Option<NanoUsd> {
        let one = self.cost_of_one(price, self.output_tokens)?;
        Some(NanoUsd(one.0.saturating_mul(u64::from(self.requests.max(1)))) + self.fees)
    }

    /// The most output of each answer that `money` pays for, beside the input of all of them.
    pub fn output_for(&self, price: &Price, money: NanoUsd) -> Option<u64> {
        let (_, output) = price.dearest(self.tier, self.may_cache)?;
        let share = money.0.checked_sub(self.fees.0)? / u64::from(self.requests.max(1));
        let left = share.checked_sub(self.cost_of_one(price, 0)?.0)?;
        Some(
            u64::try_from(u128::from(left) * 1000 / u128::from(output.0.max(1)))
                .unwrap_or(u64::MAX),
        )
    }
}
