use std::sync::Arc;

use crate::call::{Call, NanoUsd, Tier, Usage, WorstCase};

/// How sure the cost of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the service counted.
    Actual,
    /// What the gateway counted, because the service did not say.
    Estimated,
    /// What was set aside for a call of which nobody knows how it ended.
    Presumed,
    /// A correction of another record.
    Adjust,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Estimated => "estimated",
            Self::Presumed => "presumed",
            Self::Adjust => "adjust",
        }
    }
}

/// Who called what, and when: what is known before the call leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub request_id: Arc<str>,
    /// Unix milliseconds of the admission.
    pub at: i64,
    pub key_id: String,
    /// Empty: none.
    pub team: String,
    /// The hash of the end user; empty: not told apart.
    pub end_user: String,
    pub model: String,
    /// The Bedrock id or ARN that was called.
    pub target: String,
    pub region: String,
    /// US dollars per million tokens: input/output/cache read/cache write 5 m/cache write 1 h; empty: unknown. A sixth
    /// member says that there was more to it: a tier, longer contexts, tools, reranking.
    pub price: String,
}

impl Entry {
    /// Of a call that was admitted at `at`.
    pub fn of<T>(call: &Call<T>, end_user: &str, at: i64) -> Self {
        let price = call.model.price.as_deref().map(|price| {
            let bucket = |of: Option<crate::call::PicoUsd>| {
                of.map_or_else(|| "-".to_owned(), |of| of.to_string())
            };
            let (read, write) = (bucket(price.cache_read), bucket(price.cache_write));
            let more = match call.worst {
                WorstCase {
                    tier: Tier::Standard,
                    server_tools: false,
                    fees: NanoUsd(0),
                    unpriced_fees: false,
                    ..
                } if price.long_context.is_empty() => "",
                _ => "/more",
            };
            format!(
                "{}/{}/{read}/{write}/{}{more}",
                price.input,
                price.output,
                bucket(price.cache_write_1h)
            )
        });
        Self {
            request_id: call.request_id.clone(),
            at,
            key_id: call.caller.key_id.clone(),
            team: call.caller.team_name().to_owned(),
            end_user: end_user.to_owned(),
            model: call.model.name.clone(),
            target: call.model.target.id.clone(),
            region: call.model.target.region.clone(),
            price: price.unwrap_or_default(),
        }
    }
}

/// One call in the ledger, once it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub entry: Entry,
    /// Unix milliseconds.
    pub ended_at: i64,
    pub usage: Usage,
    /// None where no price is known.
    pub cost: Option<NanoUsd>,
    pub kind: Kind,
    /// `ok`, or the code of the error.
    pub status: &'static str,
    /// How it ended, as the `how` label of `lintel_stream_end_total`.
    pub how: &'static str,
    pub attempts: u32,
}
