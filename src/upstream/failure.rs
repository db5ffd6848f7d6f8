//! What Bedrock and the way to it answer when they fail, as our [`Error`].
//!
//! Names and statuses are those of the service model `bedrock-runtime`. The client never sees an ARN, an account id
//! or a header of ours; the log sees the service's own words.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{transport::FrameError, transport::SendError};
use crate::{
    bedrock::reply::ErrorReply,
    error::{Error, Kind, RetryAdvice},
};

/// AWS gives no time to wait with a throttle; the SDKs' own first back-off is about this long.
const THROTTLE_WAIT: Duration = Duration::from_secs(1);
const MODEL_NOT_READY_WAIT: Duration = Duration::from_secs(10);
/// A quota per day: trying again within the hour is pointless.
const QUOTA_WAIT: Duration = Duration::from_secs(3600);

/// A reply with an error status.
pub fn from_reply(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let (name, reply, detail) = read(status, headers, body);
    named(&name, Some(status), &reply).with_detail(detail)
}

/// The short name of an error, such as `Throttling`, its body, and a text for the log.
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

/// An exception event in a stream.
pub fn from_exception(exception_type: &str, payload: &[u8]) -> Error {
    let reply: ErrorReply = serde_json::from_slice(payload).unwrap_or_default();
    let detail = format!(
        "exception event {exception_type}: {} {}",
        reply.message.as_deref().unwrap_or_default(),
        reply.original_message.as_deref().unwrap_or_default()
    );
    named(short_name(exception_type), None, &reply).with_detail(detail)
}

/// A frame of `:message-type` `error`.
pub fn from_error_frame(code: &str, message: &str) -> Error {
    let reply = ErrorReply {
        message: Some(message.to_owned()),
        ..ErrorReply::default()
    };
    named(short_name(code), None, &reply).with_detail(format!("error frame {code}: {message}"))
}

pub fn from_frame(error: FrameError) -> Error {
    let code = if error == FrameError::Checksum {
        "upstream_checksum"
    } else {
        "upstream_malformed"
    };
    Error::new(
        Kind::Upstream,
        "Bedrock's stream arrived damaged; the answer is incomplete.",
    )
    .with_code(code)
    .with_detail(error.to_string())
    .with_retry_advice(RetryAdvice::Often)
    .may_be_billed()
}

/// The connection ended before what it carried did.
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

pub fn from_send(error: SendError) -> Error {
    match error {
        SendError::Credentials(detail) => Error::new(
            Kind::UpstreamUnavailable,
            "The gateway has no AWS credentials at the moment. Tell its operator.",
        )
        .with_code("credentials_unavailable")
        .with_retry_after(MODEL_NOT_READY_WAIT)
        .with_detail(detail),
        SendError::Unreachable(detail) => unreachable(detail),
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

/// The service adds a URL after a colon, and a namespace before `#`; exception events begin in lower case.
fn short_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    name.strip_suffix("Exception").unwrap_or(name)
}

fn named(name: &str, status: Option<StatusCode>, reply: &ErrorReply) -> Error {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "validation" => validation(reply),
        "accessdenied"
        | "invalidsignature"
        | "incompletesignature"
        | "missingauthenticationtoken"
        | "signaturedoesnotmatch" => access_denied("this model"),
        // Credentials that somebody has replaced, or whose end came early.
        "unrecognizedclient" | "expiredtoken" | "invalidclienttokenid" => {
            access_denied("this model").with_retry_advice(RetryAdvice::Refreshed)
        }
        "resourcenotfound" => resource_not_found(reply),
        "throttling" | "toomanyrequests" => throttled("this model"),
        "servicequotaexceeded" => quota_exhausted(),
        "modelnotready" => model_not_ready(),
        "modeltimeout" => Error::new(Kind::UpstreamTimeout, "The model took too long to answer.")
            .with_code("model_timeout")
            .with_retry_advice(RetryAdvice::Once)
            .may_be_billed(),
        "modelerror" | "modelstreamerror" => match reply.original_status_code {
            Some(400) => Error::new(
                Kind::InvalidRequest,
                "The model refused the request as invalid.",
            )
            .with_code("model_error"),
            Some(429) => throttled("this model"),
            _ => Error::new(Kind::Upstream, "The model failed while it answered.")
                .with_code("model_error")
                .with_retry_advice(RetryAdvice::Often)
                .may_be_billed(),
        },
        "serviceunavailable" => unavailable(),
        "conflict" => Error::new(
            Kind::Conflict,
            "Bedrock refused the call because of a concurrent change.",
        )
        .with_code("conflict")
        .without_retry(),
        // The name is missing or new: the status still says whose fault it is.
        _ => match status.map(|status| status.as_u16()) {
            Some(400 | 413 | 415 | 422) => validation(reply),
            Some(401 | 403) => access_denied("this model"),
            Some(429) => throttled("this model"),
            Some(503) => unavailable(),
            _ => Error::new(
                Kind::Upstream,
                "Bedrock failed while it handled the request.",
            )
            .with_code("upstream_error")
            .with_retry_advice(RetryAdvice::Once)
            .may_be_billed(),
        },
    }
}

/// A quota of the account, such as one per day.
pub fn quota_exhausted() -> Error {
    Error::new(
        Kind::UpstreamQuota,
        "A quota of the AWS account behind this gateway is exhausted. Try again much later.",
    )
    .with_code("rate_limit_exceeded")
    .with_retry_after(QUOTA_WAIT)
    .without_retry()
}

/// The service is still loading a model.
pub fn model_not_ready() -> Error {
    Error::new(
        Kind::UpstreamUnavailable,
        "The model is still being loaded by Bedrock. Try again shortly.",
    )
    .with_code("model_not_ready")
    .with_retry_after(MODEL_NOT_READY_WAIT)
    .with_retry_advice(RetryAdvice::Slowly)
}

/// A fault of the gateway's credentials: never a 401 to the caller.
pub fn access_denied(what: &str) -> Error {
    Error::new(
        Kind::Upstream,
        format!("AWS denied the gateway access to {what}. Your key is not at fault; tell the gateway's operator."),
    )
    .with_code("upstream_access_denied")
    .without_retry()
}

/// `what` is being throttled.
pub fn throttled(what: &str) -> Error {
    Error::new(
        Kind::UpstreamThrottle,
        format!("Bedrock is throttling {what}. Try again shortly."),
    )
    .with_code("rate_limit_exceeded")
    .with_retry_after(THROTTLE_WAIT)
    .with_retry_advice(RetryAdvice::Often)
}

/// The service says so itself.
pub fn unavailable() -> Error {
    Error::new(
        Kind::UpstreamUnavailable,
        "Bedrock is not available at the moment. Try again.",
    )
    .with_code("upstream_unavailable")
    .with_retry_after(THROTTLE_WAIT)
    .with_retry_advice(RetryAdvice::Often)
}

/// OpenAI has codes for two things that Bedrock only puts into words.
fn validation(reply: &ErrorReply) -> Error {
    const TOO_LONG: [&str; 8] = [
        "input is too long",
        "prompt is too long",
        "input tokens exceed",
        "number of input tokens",
        "too many input tokens",
        "context length",
        "context window",
        "maximum context",
    ];
    let message = reply.message.as_deref().unwrap_or("no reason given");
    let lower = message.to_ascii_lowercase();
    if TOO_LONG.iter().any(|text| lower.contains(text)) {
        return Error::new(
            Kind::InvalidRequest,
            "The input is longer than the model's context window. Shorten it.",
        )
        .with_code("context_length_exceeded");
    }
    if lower.contains("model identifier is invalid") {
        return not_found(
            "Bedrock knows no model by the id that is configured for this name. Tell the gateway's operator.",
        );
    }
    if lower.contains("on-demand throughput") {
        return not_found(
            "This model answers only through an inference profile (such as 'us.' before its id). Tell the gateway's operator.",
        );
    }
    Error::new(
        Kind::InvalidRequest,
        format!("Bedrock refused the request: {}", redact(message)),
    )
    .with_code("invalid_request")
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
            "This model has reached the end of its life on Bedrock. Tell the gateway's operator.",
        )
        .with_code("model_end_of_life")
        .without_retry();
    }
    not_found(
        "Bedrock does not have this model in the configured region, or the account has no access to it.",
    )
}

fn not_found(message: &'static str) -> Error {
    Error::new(Kind::NotFound, message)
        .with_code("model_not_found")
        .with_param("model")
}

/// The form of the ids of Knowledge Bases and of their indexes: ten capitals and digits.
fn is_resource_id(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let plain = word
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    word.len() == 10 && plain && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// Takes ARNs, account ids and ids of resources out of a text for the client, and bounds it.
pub fn redact(text: &str) -> String {
    let digits = |word: &str| word.bytes().filter(u8::is_ascii_digit).count();
    let words = text.split_whitespace().map(|word| match word {
        _ if word.contains("arn:") => "[arn]",
        _ if digits(word) >= 12 || is_resource_id(word) => "[id]",
        _ => word,
    });
    let mut kept = words.collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = kept.char_indices().nth(500) {
        kept.truncate(at);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_namespace_url_and_suffix() {
        for name in [
            "ThrottlingException",
            "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
            "com.amazon.bedrock#ThrottlingException",
        ] {
            assert_eq!(short_name(name), "Throttling");
        }
    }

    #[test]
    fn the_client_sees_no_arn_and_no_account() {
        let text = "User: arn:aws:sts::123456789012:assumed-role/x is not allowed in account 123456789012, sorry";
        assert_eq!(
            redact(text),
            "User: [arn] is not allowed in account [id] sorry"
        );
        assert_eq!(
            redact("for index KCOEXQD1NV. Retry, EXCEPTIONS aside"),
            "for index [id] Retry, EXCEPTIONS aside"
        );
    }
}
