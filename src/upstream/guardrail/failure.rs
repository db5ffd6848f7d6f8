//! Converts failures of ApplyGuardrail and InvokeGuardrailChecks into [`Error`]s. `operation` is the name of the one that failed,
//! for the log.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::{
    error::{Error, Kind, RetryAdvice},
    upstream::{SendError, failure},
};

/// Converts a failure without a reply.
pub fn from_send(operation: &str, error: SendError) -> Error {
    let about = |detail| format!("{operation}: {detail}");
    // A lost request can be repeated, because its cost is reserved for every attempt.
    failure::from_send(match error {
        SendError::Credentials(detail) => SendError::Credentials(about(detail)),
        SendError::Lost(detail) | SendError::Unreachable(detail) => {
            SendError::Unreachable(about(detail))
        }
        SendError::Untrusted(detail) => SendError::Untrusted(about(detail)),
        SendError::ConnectTimeout(limit) => SendError::ConnectTimeout(limit),
        SendError::Other(detail) => SendError::Other(about(detail)),
    })
}

/// Converts a reply with an error status.
pub fn from_reply(operation: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let (name, reply, detail) = failure::read(status, headers, body);
    let error = match (name.to_ascii_lowercase().as_str(), status.as_u16()) {
        ("throttling" | "toomanyrequests", _) => failure::throttled("the guardrail", &reply),
        ("servicequotaexceeded", _) => failure::quota_exhausted(&reply),
        ("accessdenied" | "unrecognizedclient" | "expiredtoken" | "invalidclienttokenid", _)
        | (_, 401 | 403) => {
            failure::access_denied("the guardrail").with_retry_advice(RetryAdvice::Refreshed)
        }
        (_, 429) => failure::throttled("the guardrail", &reply),
        ("serviceunavailable", _) | (_, 503) => failure::unavailable(&reply),
        (_, 400..=499) => Error::new(
            Kind::Upstream,
            "Bedrock rejects the guardrail as configured, so nothing was answered. Tell the gateway's operator.",
        )
        .with_code("guardrail_refused")
        .without_retry(),
        _ => Error::new(
            Kind::Upstream,
            "The guardrail failed, so nothing was answered. Try again.",
        )
        .with_code("guardrail_failed")
        .with_retry_advice(RetryAdvice::Once),
    };
    error.with_detail(format!("{operation}: {detail}"))
}

/// The error for a guardrail that did not answer in time.
pub fn timed_out(limit: Duration) -> Error {
    let text = format!(
        "The guardrail did not answer within {} s.",
        limit.as_secs_f64()
    );
    Error::new(Kind::UpstreamTimeout, text).with_code("guardrail_timeout")
}

/// Converts a reply whose body could not be read. One that is too large is not requested twice.
pub fn unread(operation: &str, error: Error) -> Error {
    match error.retry_advice() {
        RetryAdvice::Never => error,
        _ => malformed(operation, error.detail().unwrap_or_default()),
    }
}

/// The error for a reply that is not in the form of the service model.
pub fn malformed(operation: &str, detail: &str) -> Error {
    Error::new(
        Kind::Upstream,
        "The guardrail returned a malformed reply, so nothing was answered.",
    )
    .with_code("upstream_malformed")
    .with_detail(format!("{operation}: {detail}"))
    .with_retry_advice(RetryAdvice::Once)
}
