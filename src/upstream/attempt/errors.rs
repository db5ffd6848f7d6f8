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

/// The error for a stream without a first token in its share of the time.
pub fn silent(limit: Duration) -> Error {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let seconds = Duration::from_millis(millis).as_secs_f64();
    let text = format!(
        "Bedrock did not answer within {seconds} s, its share of the time to the first token."
    );
    Error::new(Kind::UpstreamTimeout, text)
        .with_code("first_token_timeout")
        .may_be_billed()
}
