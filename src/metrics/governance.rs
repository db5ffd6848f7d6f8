//! Budgets, limits, spending and alerts.

use metrics::{counter, gauge, histogram};

use super::{
    ALERTS, BUDGET_LIMIT, BUDGET_REFUSALS, BUDGET_RESERVED, BUDGET_RESET, BUDGET_SETTLED,
    ESTIMATE_ERROR, EXPENSIVE, RATELIMIT_DECISIONS, REFUSALS, SPEND,
    labels::{key_label, without_user},
};
use crate::money::NanoUsd;

/// Sets the gauges of a budget. `resets_at` is in Unix seconds.
pub fn budget(id: &str, limit: NanoUsd, settled: NanoUsd, reserved: NanoUsd, resets_at: i64) {
    let set =
        |name: &'static str, value: f64| gauge!(name, "budget_id" => id.to_owned()).set(value);
    set(BUDGET_LIMIT, limit.as_usd());
    set(BUDGET_SETTLED, settled.as_usd());
    set(BUDGET_RESERVED, reserved.as_usd());
    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
    set(BUDGET_RESET, resets_at as f64);
}

/// Counts the settled cost of a call. `kind` is the name of its certainty.
pub fn spent(team: &str, key_id: &str, model: &str, kind: &'static str, cost: NanoUsd) {
    gauge!(SPEND, "team" => team.to_owned(), "key_id" => key_label(key_id), "model" => model.to_owned(), "kind" => kind)
        .increment(cost.as_usd());
}

/// Counts a call that a budget rejected. `why` is `settled`, `reserved`, `unpriced` or `backend`.
pub fn budget_refusal(id: &str, why: &'static str) {
    counter!(BUDGET_REFUSALS, "budget_id" => without_user(id), "why" => why).increment(1);
}

/// Counts a decision of a rate limit. `kind` is `rpm`, `tpm` or `concurrency`.
pub fn rate_limit(limit_id: &str, kind: &'static str, admitted: bool) {
    let outcome = if admitted { "admitted" } else { "refused" };
    counter!(RATELIMIT_DECISIONS, "limit_id" => without_user(limit_id), "kind" => kind, "outcome" => outcome)
        .increment(1);
}

/// Records the tokens of a call divided by the estimate.
pub fn estimate_error(model: &str, ratio: f64) {
    histogram!(ESTIMATE_ERROR, "model" => model.to_owned()).record(ratio);
}

/// Counts a call that a limit or budget of the gateway rejected. `why` is `budget`, `rate_limit` or `concurrency`.
pub fn refusal(team: &str, key_id: &str, why: &'static str) {
    counter!(REFUSALS, "team" => team.to_owned(), "key_id" => key_label(key_id), "why" => why)
        .increment(1);
}

/// Counts a request that cost more than `alert_request_usd`.
pub fn expensive_request(model: &str) {
    counter!(EXPENSIVE, "model" => model.to_owned()).increment(1);
}

/// Counts an alert. `outcome` is `delivered` or `given_up`.
pub fn alert(kind: &'static str, outcome: &'static str) {
    counter!(ALERTS, "kind" => kind, "outcome" => outcome).increment(1);
}
