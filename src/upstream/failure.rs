//! Maps failures of Bedrock, and of the connection to it, to the gateway's [`Error`].
//!
//! Names and statuses are those of the service model `bedrock-runtime`. Messages for clients never contain an ARN, an
//! AWS account id or a header of the gateway. The log gets the service's unredacted text.

mod validation;
mod wrong_route;

use std::time::Duration;

use http::{HeaderMap, StatusCode};

pub use validation::validation;
pub use wrong_route::is_wrong_route;

use super::{
    native::error::NativeError, redact::redact, transport::FrameError, transport::SendError,
};
use crate::{
    bedrock::reply::ErrorReply,
    error::{Error, Kind, RetryAdvice},
};

/// `retry-after` for throttling. AWS sends none; the first backoff of its SDKs is about this long.
const THROTTLE_WAIT: Duration = Duration::from_secs(1);
/// The start of the message of an error that quotes Bedrock's own.
pub const REJECTED: &str = "Bedrock rejected the request: ";
/// `retry-after` while Bedrock loads a model, or while the gateway has no credentials.
const MODEL_NOT_READY_WAIT: Duration = Duration::from_secs(10);
/// `retry-after` for an exhausted quota. Quotas are per day, so a retry within the hour cannot succeed.
const QUOTA_WAIT: Duration = Duration::from_secs(3600);
/// The longest `retry-after` of the service that is believed, in seconds.
const MAX_DEMANDED: u64 = 3600;

/// Returns the error for a reply with an error status.
pub fn from_reply(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let error = match NativeError::read(body) {
        Some(native) => native.into_error(Some(status), headers),
        None => {
            let (name, reply, detail) = read(status, headers, body);
            from_name(&name, Some(status), &reply).with_detail(detail)
        }
    };
    match demanded_wait(headers).filter(|_| error.retry_after().is_some()) {
        Some(wait) => error.with_demanded_wait(wait),
        None => error,
    }
}

/// Returns the time for which the service wants to be left alone, if it says so.
fn demanded_wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?;
    let seconds: u64 = seconds.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, MAX_DEMANDED)))
}

/// Returns the short name of an error reply, such as `Throttling`, its parsed body, and a text for the log.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> (String, ErrorReply, String) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let reply: ErrorReply = serde_json::from_slice(body).unwrap_or_default();
    let name = text("x-amzn-errortype")
        .or(reply.kind.as_deref())
        .unwrap_or_default()
        .to_owned();
    let request_id = text("x-amzn-requestid").unwrap_or("none");
    let detail = format!(
        "{name} ({status}, AWS request id {request_id}): {} {}",
        reply.message.as_deref().unwrap_or_default(),
        reply.original_message.as_deref().unwrap_or_default()
    );
    (short_name(&name).to_owned(), reply, detail)
}

/// Returns the error for an exception event in a stream.
pub fn from_exception(exception_type: &str, payload: &[u8]) -> Error {
    let reply: ErrorReply = serde_json::from_slice(payload).unwrap_or_default();
    let detail = format!(
        "exception event {exception_type}: {} {}",
        reply.message.as_deref().unwrap_or_default(),
        reply.original_message.as_deref().unwrap_or_default()
    );
    from_name(short_name(exception_type), None, &reply).with_detail(detail)
}

/// Returns the error for a frame of `:message-type` `error`.
pub fn from_error_frame(code: &str, message: &str) -> Error {
    let reply = ErrorReply {
        message: Some(message.to_owned()),
        ..ErrorReply::default()
    };
    from_name(short_name(code), None, &reply).with_detail(format!("error frame {code}: {message}"))
}

/// Returns the error for bytes that are not a valid frame.
pub fn from_frame(error: FrameError) -> Error {
    let code = if error == FrameError::Checksum {
        "upstream_checksum"
    } else {
        "upstream_malformed"
    };
    Error::new(
        Kind::Upstream,
        "Bedrock's stream arrived corrupted; the answer is incomplete.",
    )
    .with_code(code)
    .with_detail(error.to_string())
    .with_retry_advice(RetryAdvice::Often)
    .may_be_billed()
}

/// Returns the error for a connection that closed before the reply was complete.
pub fn truncated(detail: impl Into<String>) -> Error {
    Error::new(
        Kind::Upstream,
        "The connection to Bedrock broke before the answer was complete.",
    )
    .with_code("upstream_truncated")
    .with_detail(detail)
    .with_retry_advice(RetryAdvice::Often)
    .may_be_billed()
}

/// Returns the error for a reply of more than `max` bytes. It would be as large again, so it is not requested twice.
pub fn too_large(max: usize) -> Error {
    let text = format!(
        "Bedrock's reply is larger than {} MiB, the most that this gateway reads for this kind of request. Request a \
         smaller one.",
        max >> 20
    );
    Error::new(Kind::Upstream, text)
        .with_code("upstream_too_large")
        .without_retry()
        .may_be_billed()
}

/// Returns the error for a request that got no reply.
pub fn from_send(error: SendError) -> Error {
    match error {
        SendError::Credentials(detail) => Error::new(
            Kind::UpstreamUnavailable,
            "The gateway has no AWS credentials at the moment. Contact the gateway's operator.",
        )
        .with_code("credentials_unavailable")
        .with_retry_after(MODEL_NOT_READY_WAIT)
        .with_detail(detail),
        SendError::Unreachable(detail) => unreachable(detail),
        SendError::ConnectTimeout(limit) => Error::new(
            Kind::UpstreamUnavailable,
            format!(
                "The gateway could not connect to Bedrock within {} s. Try again.",
                limit.as_secs_f64()
            ),
        )
        .with_code("connect_timeout")
        .with_retry_after(THROTTLE_WAIT)
        .with_retry_advice(RetryAdvice::Often),
        SendError::Untrusted(detail) => Error::new(
            Kind::Upstream,
            "The gateway cannot connect to Bedrock securely. Contact the gateway's operator.",
        )
        .with_code("upstream_untrusted")
        .with_detail(detail)
        .without_retry(),
        SendError::Lost(detail) => unreachable(detail).may_be_billed(),
        SendError::Other(detail) => Error::new(Kind::Upstream, "The call to Bedrock failed.")
            .with_code("upstream_error")
            .with_detail(detail),
    }
}

fn unreachable(detail: String) -> Error {
    Error::new(
        Kind::UpstreamUnavailable,
        "Bedrock could not be reached. Try again.",
    )
    .with_code("upstream_unreachable")
    .with_retry_after(THROTTLE_WAIT)
    .with_detail(detail)
    .with_retry_advice(RetryAdvice::Often)
}

/// Strips the URL after `:`, the namespace before `#` and the suffix `Exception`. Names of exception events start in
/// lower case.
fn short_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    name.strip_suffix("Exception").unwrap_or(name)
}

pub fn from_name(name: &str, status: Option<StatusCode>, reply: &ErrorReply) -> Error {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "validation" => validation(reply),
        "accessdenied"
        | "invalidsignature"
        | "incompletesignature"
        | "missingauthenticationtoken"
        | "signaturedoesnotmatch" => access_denied("this model"),
        // The credentials were rotated or revoked before their expiry, so new ones may work.
        "unrecognizedclient" | "expiredtoken" | "invalidclienttokenid" => {
            access_denied("this model").with_retry_advice(RetryAdvice::Refreshed)
        }
        "resourcenotfound" => resource_not_found(reply),
        "throttling" | "toomanyrequests" => throttled("this model", reply),
        "servicequotaexceeded" => quota_exhausted(reply),
        "modelnotready" => model_not_ready(reply),
        "modeltimeout" => quoting(reply, model_timeout()),
        "modelerror" | "modelstreamerror" => match reply.original_status_code {
            Some(429) => throttled("this model", reply),
            status => quoting(reply, model_error(status)),
        },
        "serviceunavailable" => unavailable(reply),
        // The names of Anthropic's errors, which events in a stream of Claude have.
        "overloaded_error" => overloaded(reply),
        "rate_limit_error" => throttled("this model", reply),
        "invalid_request_error" => validation(reply),
        "timeout_error" => quoting(reply, model_timeout()),
        "conflict" => Error::new(
            Kind::Conflict,
            "Bedrock rejected the call because of a concurrent change.",
        )
        .with_code("conflict")
        .without_retry(),
        // The name is missing or unknown; the status still separates client errors from faults of the service.
        _ => match status.map(|status| status.as_u16()) {
            Some(400 | 413 | 415 | 422) => validation(reply),
            Some(401 | 403) => access_denied("this model"),
            Some(429) => throttled("this model", reply),
            Some(503) => unavailable(reply),
            status => {
                let error =
                    Error::new(Kind::Upstream, "Bedrock failed while handling the request.")
                        .with_code("upstream_error")
                        .with_retry_advice(RetryAdvice::Once);
                match status {
                    Some(_) => error.may_be_billed_for_input(),
                    None => error.may_be_billed(),
                }
            }
        },
    }
}

/// Adds the service's own sentence to the message of `error`, because "Too many tokens per day" and "per minute" need
/// different actions.
fn quoting(reply: &ErrorReply, error: Error) -> Error {
    match reply.message.as_deref().map(redact) {
        Some(text) if !text.is_empty() => error.with_quote(&text),
        _ => error,
    }
}

fn model_timeout() -> Error {
    Error::new(Kind::UpstreamTimeout, "The model took too long to answer.")
        .with_code("model_timeout")
        .with_retry_advice(RetryAdvice::Once)
        .may_be_billed()
}

fn model_error(original_status: Option<u16>) -> Error {
    match original_status {
        Some(400) => Error::new(
            Kind::InvalidRequest,
            "The model rejected the request as invalid.",
        )
        .with_code("model_error"),
        _ => Error::new(
            Kind::Upstream,
            "The model failed while generating the answer.",
        )
        .with_code("model_error")
        .with_retry_advice(RetryAdvice::Often)
        .may_be_billed(),
    }
}

/// Returns the error for an exhausted quota of the AWS account, such as tokens per day.
pub fn quota_exhausted(reply: &ErrorReply) -> Error {
    let error = Error::new(
        Kind::UpstreamQuota,
        "A quota of the AWS account behind this gateway is exhausted. Try again much later.",
    )
    .with_code("rate_limit_exceeded")
    .with_retry_after(QUOTA_WAIT)
    .without_retry();
    quoting(reply, error)
}

/// Returns the error for a model that Bedrock is still loading.
pub fn model_not_ready(reply: &ErrorReply) -> Error {
    let error = Error::new(
        Kind::UpstreamUnavailable,
        "Bedrock is still loading the model. Try again shortly.",
    )
    .with_code("model_not_ready")
    .with_retry_after(MODEL_NOT_READY_WAIT)
    .with_retry_advice(RetryAdvice::Slowly);
    quoting(reply, error)
}

/// Returns the error for a denied operation. It is a 502, never a 401, because the fault is in the gateway's credentials
/// and not in the caller's key.
pub fn access_denied(what: &str) -> Error {
    Error::new(
        Kind::Upstream,
        format!("AWS denied the gateway access to {what}. Your API key is not the cause; contact the gateway's operator."),
    )
    .with_code("upstream_access_denied")
    .without_retry()
}

/// Returns the error for throttling; `what` names the throttled resource. Bedrock also reports a spent daily quota as
/// throttling, and only its text says so. A retry within seconds cannot help then.
pub fn throttled(what: &str, reply: &ErrorReply) -> Error {
    let text = reply.message.as_deref().unwrap_or_default();
    if text.to_ascii_lowercase().contains("per day") {
        return quota_exhausted(reply);
    }
    let error = Error::new(
        Kind::UpstreamThrottle,
        format!("Bedrock is throttling {what}. Try again shortly."),
    )
    .with_code("rate_limit_exceeded")
    .with_retry_after(THROTTLE_WAIT)
    .with_retry_advice(RetryAdvice::Often);
    quoting(reply, error)
}

/// Returns the error for a service that reports itself unavailable.
pub fn unavailable(reply: &ErrorReply) -> Error {
    let error = Error::new(
        Kind::UpstreamUnavailable,
        "Bedrock is not available at the moment. Try again.",
    )
    .with_code("upstream_unavailable")
    .with_retry_after(THROTTLE_WAIT)
    .with_retry_advice(RetryAdvice::Often);
    quoting(reply, error)
}

/// Returns the error for a model that reports itself overloaded.
fn overloaded(reply: &ErrorReply) -> Error {
    let error = Error::new(
        Kind::Overloaded,
        "The model is overloaded. Try again shortly.",
    )
    .with_code("upstream_overloaded")
    .with_retry_after(THROTTLE_WAIT)
    .with_retry_advice(RetryAdvice::Often);
    quoting(reply, error)
}

fn resource_not_found(reply: &ErrorReply) -> Error {
    let lower = reply
        .message
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if lower.contains("end of its life") || lower.contains("end of life") {
        return Error::new(
            Kind::Upstream,
            "This model has reached its end of life on Bedrock. Contact the gateway's operator.",
        )
        .with_code("model_end_of_life")
        .without_retry();
    }
    model_not_found(
        "Bedrock does not have this model in the configured region, or the account has no access to it.",
    )
}

pub fn model_not_found(message: &'static str) -> Error {
    Error::new(Kind::NotFound, message)
        .with_code("model_not_found")
        .with_param("model")
}

#[cfg(test)]
mod tests;
