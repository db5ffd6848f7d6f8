//! Requests to Bedrock and their retries.

use metrics::counter;

use super::{RETRY_BUDGET_EXHAUSTED, UPSTREAM_REQUESTS, UPSTREAM_RETRIES};

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
