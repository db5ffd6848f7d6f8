//! The errors of the loop itself.

use std::time::Duration;

use crate::error::{Error, Kind};

/// The error for a call that is not sent, because its targets have failed too often. `wait` is the time until one of them
/// is tried again.
pub fn held_back(wait: Duration) -> Error {
    let text = "Bedrock has failed repeatedly for this model, so the gateway sends it few requests at the moment. Try again.";
    Error::new(Kind::UpstreamUnavailable, text)
        .with_code("upstream_unavailable")
        .with_retry_after(wait.max(Duration::from_secs(1)))
        .with_detail("the circuit breakers of all targets are open")
}

/// The error for a request that is not sent, because the ledger cannot say where it would be.
pub fn unrecorded() -> Error {
    let text = "The gateway's ledger cannot be written at the moment, so the call is not sent to another region. Try again.";
    Error::new(Kind::LedgerUnavailable, text)
        .with_code("budget_backend_unavailable")
        .with_retry_after(Duration::from_secs(5))
}

/// The error for a request without an answer in its share of the time, to the first token if it is a stream.
pub fn silent(limit: Duration, is_stream: bool) -> Error {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let seconds = Duration::from_millis(millis).as_secs_f64();
    let (of, code) = match is_stream {
        true => ("time to the first token", "first_token_timeout"),
        false => ("time limit", "upstream_timeout"),
    };
    let text = format!("Bedrock did not answer within {seconds} s, its share of the {of}.");
    Error::new(Kind::UpstreamTimeout, text)
        .with_code(code)
        .may_be_billed()
}
