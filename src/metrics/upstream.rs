//! Requests to Bedrock and their retries.

use metrics::{counter, gauge};

use super::{
    BREAKER_STATE, BREAKER_TRANSITIONS, FAILOVERS, FALLBACKS, QUOTA_FULL, RESUMED_STREAMS,
    RETRY_BUDGET_EXHAUSTED, UNTAGGED_REQUESTS, UPSTREAM_REQUESTS, UPSTREAM_RETRIES,
};

/// Counts a request to Bedrock. `code` is `ok` or an error code of the gateway.
pub fn upstream_request(region: &str, model: &str, code: &'static str, retried: bool) {
    let retried = if retried { "true" } else { "false" };
    counter!(UPSTREAM_REQUESTS, "region" => region.to_owned(), "model" => model.to_owned(), "code" => code, "retried" => retried)
        .increment(1);
}

/// Counts a retry of a request to Bedrock.
pub fn upstream_retry(region: &str, model: &str) {
    counter!(UPSTREAM_RETRIES, "region" => region.to_owned(), "model" => model.to_owned())
        .increment(1);
}

/// Counts a failure that was not retried, because the retry budget was exhausted.
pub fn retry_budget_exhausted(region: &str, model: &str) {
    counter!(RETRY_BUDGET_EXHAUSTED, "region" => region.to_owned(), "model" => model.to_owned())
        .increment(1);
}

/// Counts a request that carries no session tags although it should. `account` is the configured name, or `own`.
pub fn untagged_request(account: &str) {
    counter!(UNTAGGED_REQUESTS, "account" => account.to_owned()).increment(1);
}

/// Counts a request that moved to another region after the error `code`.
pub fn failover(from: &str, to: &str, model: &str, code: &'static str) {
    counter!(FAILOVERS, "from" => from.to_owned(), "to" => to.to_owned(), "model" => model.to_owned(), "code" => code)
        .increment(1);
}

/// Records the state of the circuit breaker of a target: `closed`, `half_open` or `open`.
pub fn breaker_state(region: &str, model: &str, state: &'static str) {
    let value = match state {
        "closed" => 0.0,
        "half_open" => 1.0,
        _ => 2.0,
    };
    set_breaker(region, model, value);
}

/// Records that a target no longer exists. The recorder cannot remove a series, so it has no number from then on.
pub fn breaker_gone(region: &str, model: &str) {
    set_breaker(region, model, f64::NAN);
}

fn set_breaker(region: &str, model: &str, value: f64) {
    gauge!(BREAKER_STATE, "region" => region.to_owned(), "model" => model.to_owned()).set(value);
}

/// Counts a change of the circuit breaker of a target.
pub fn breaker_transition(region: &str, model: &str, to: &'static str) {
    counter!(BREAKER_TRANSITIONS, "region" => region.to_owned(), "model" => model.to_owned(), "to" => to)
        .increment(1);
}

/// Counts a call that found the estimated quotas of all targets used up. `outcome` is `admitted` after it has waited,
/// `refused`, or `abandoned` if the client or the time has gone before.
pub fn quota_full(model: &str, outcome: &'static str) {
    counter!(QUOTA_FULL, "model" => model.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a stream that broke after its first token and was to be continued. `outcome` is `resumed` or `failed`.
pub fn resumed_stream(model: &str, outcome: &'static str) {
    counter!(RESUMED_STREAMS, "model" => model.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a call that falls back to another model. `cause` is `failure`, `context_length` or `content_filter`.
pub fn fallback(from: &str, to: &str, cause: &'static str) {
    counter!(FALLBACKS, "from" => from.to_owned(), "to" => to.to_owned(), "cause" => cause)
        .increment(1);
}
