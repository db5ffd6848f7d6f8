//! The reply of `GET /v1/usage`, an extension. Amounts are exact decimal numbers of US dollars; times are in Unix seconds.

use serde::Serialize;
use serde_json::value::RawValue;

/// The limits, budgets and spend of a key.
#[derive(Debug, Serialize)]
pub struct UsagePage<'a> {
    pub object: &'static str,
    pub key_id: &'a str,
    pub team: Option<&'a str>,
    pub limits: Vec<LimitObject>,
    pub budgets: Vec<BudgetObject>,
    pub spend: Vec<SpendObject>,
}

/// The rate limits of one scope.
#[derive(Debug, Serialize)]
pub struct LimitObject {
    pub scope: String,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u32>,
    pub max_request_tokens: Option<u32>,
    pub in_flight: Option<u32>,
}

impl LimitObject {
    /// Returns true if any limit is set.
    pub fn has_limit(&self) -> bool {
        self.requests_per_minute
            .or(self.tokens_per_minute)
            .or(self.max_request_tokens)
            .or(self.in_flight)
            .is_some()
    }
}

/// The status of a budget.
#[derive(Debug, Serialize)]
pub struct BudgetObject {
    pub scope: String,
    pub per: &'static str,
    pub limit_usd: Option<Box<RawValue>>,
    pub settled_usd: Option<Box<RawValue>>,
    pub reserved_usd: Option<Box<RawValue>>,
    pub remaining_usd: Option<Box<RawValue>>,
    pub resets_at: i64,
}

/// The spend in the current day or month.
#[derive(Debug, Serialize)]
pub struct SpendObject {
    pub per: &'static str,
    pub since: i64,
    pub requests: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cost_usd: Option<Box<RawValue>>,
}

/// Returns `amount` as an exact JSON number.
pub fn dollars(amount: impl std::fmt::Display) -> Option<Box<RawValue>> {
    RawValue::from_string(amount.to_string()).ok()
}
