//! What the ledger stores about a call.

use std::sync::Arc;

use crate::{
    call::Call,
    model::{Model, Route},
    money::{GuardrailFees, NanoUsd, PicoUsd, Price, Tier, Usage, WorstCase},
};

/// How certain the cost of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Bedrock reported the usage.
    Actual,
    /// The gateway counted the usage, because Bedrock did not report it.
    Estimated,
    /// The reserved amount, because it is unknown how the call ended or what it cost.
    Presumed,
    /// Corrects an earlier record of the same call.
    Adjust,
}

impl Certainty {
    /// Returns the name in the store, in reports and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Estimated => "estimated",
            Self::Presumed => "presumed",
            Self::Adjust => "adjust",
        }
    }
}

/// The caller, the model and the price of a call. All of it is known before the call is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    pub request_id: Arc<str>,
    /// When the call was admitted, in Unix milliseconds.
    pub at: i64,
    pub key_id: String,
    /// Empty if the key has no team.
    pub team: String,
    /// The hash of the end user. Empty if end users are not distinguished.
    pub end_user: String,
    pub model: String,
    /// The Bedrock id or ARN that was called.
    pub target: String,
    pub region: String,
    /// `None` if this version does not know it.
    pub route: Option<Route>,
    /// US dollars per million tokens, as `input/output/cache read/cache write 5 min/cache write 1 h`. Empty if unknown.
    /// A sixth member, `more`, marks a price that has other components: a tier, long contexts, tools or reranking.
    pub price: String,
}

impl LedgerEntry {
    /// Returns the entry of a call that was not admitted yet.
    pub fn of<T>(call: &Call<T>) -> Self {
        let target = call.model.target();
        Self {
            request_id: call.request_id.clone(),
            at: 0,
            key_id: call.caller.key_id.clone(),
            team: call.caller.team_name().to_owned(),
            end_user: call.end_user.clone(),
            model: call.model.name.clone(),
            target: target.id.clone(),
            region: target.region.clone(),
            route: Some(call.plan.route),
            price: price_at(&call.model, &call.plan.worst),
        }
    }
}

/// The price of `model`, as in [`LedgerEntry::price`].
pub fn price_at(model: &Model, worst: &WorstCase) -> String {
    let price = model.price.as_deref();
    price
        .map(|price| price_text(price, worst))
        .unwrap_or_default()
}

/// See [`LedgerEntry::price`].
fn price_text(price: &Price, worst: &WorstCase) -> String {
    let bucket = |of: Option<PicoUsd>| of.map_or_else(|| "-".to_owned(), |of| of.to_string());
    let is_complete = worst.tier == Tier::Standard
        && !worst.server_tools
        && worst.images == 0
        && worst.queries == 0
        && worst.output_images == 0
        && worst.video_seconds == 0
        && worst.all_fees() == NanoUsd(0)
        && worst.guardrail == GuardrailFees::default()
        && !worst.unpriced_fees
        && price.long_context.is_empty();
    format!(
        "{}/{}/{}/{}/{}{}",
        price.input,
        price.output,
        bucket(price.cache_read),
        bucket(price.cache_write),
        bucket(price.cache_write_1h),
        if is_complete { "" } else { "/more" }
    )
}

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub entry: LedgerEntry,
    /// When the call ended, in Unix milliseconds.
    pub ended_at: i64,
    pub usage: Usage,
    /// None if no price is known.
    pub cost: Option<NanoUsd>,
    pub certainty: Certainty,
    /// `ok`, or the code of the error.
    pub status: &'static str,
    /// How the call ended, as the `how` label of `lintel_stream_end_total`.
    pub how: &'static str,
    pub attempts: u32,
}
