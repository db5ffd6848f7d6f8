//! What Retrieve answers when it fails, as our [`Error`]. Names and statuses are those of the service model
//! `bedrock-agent-runtime`.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::{
    bedrock::{SendError, failure},
    converse::reply::ErrorReply,
    error::{Again, Error, Kind},
};

const THIS: &str = "this knowledge base";

/// There was no reply at all. What retrieves is not on the bill, so it may be asked again.
pub fn from_send(error: SendError) -> Error {
    match error {
        SendError::Credentials(detail) => {
            let detail = format!("{detail} (Retrieve is signed with AWS credentials: a Bedrock API key does not work)");
            failure::from_send(SendError::Credentials(detail))
        }
        SendError::Lost(detail) => failure::from_send(SendError::Unreachable(detail)),
        other => failure::from_send(other),
    }
}

/// A reply with an error status. `own_filter`: the client sent a filter, which may be what is wrong.
pub fn from_reply(status: StatusCode, headers: &HeaderMap, body: &[u8], own_filter: bool) -> Error {
    let (name, reply, detail) = failure::read(status, headers, body);
    named(&name.to_ascii_lowercase(), status, &reply, own_filter).with_detail(format!("Retrieve: {detail}"))
}

/// Does the body of a refusal speak of the search type? The service has no error of its own for a store without hybrid
/// search ("HYBRID search type is not supported for search operation on index …").
pub fn is_about_search_type(body: &[u8]) -> bool {
    let reply: ErrorReply = serde_json::from_slice(body).unwrap_or_default();
    let text = reply.message.unwrap_or_default().to_ascii_lowercase();
    ["search type", "searchtype", "hybrid"].iter().any(|words| text.contains(words))
}

fn named(name: &str, status: StatusCode, reply: &ErrorReply, own_filter: bool) -> Error {
    let failed =
        |code| Error::new(Kind::Upstream, "The knowledge base failed. Try again.").with_code(code).again(Again::Once);
    match (name, status.as_u16()) {
        ("throttling" | "toomanyrequests", _) | ("", 429) => failure::throttled(THIS),
        ("servicequotaexceeded", _) => failure::quota_exhausted(),
        ("resourcenotfound", _) | ("", 404) => Error::new(
            Kind::NotFound,
            "Bedrock does not have this knowledge base in the configured region. Tell the gateway's operator.",
        )
        .with_code("knowledge_base_not_found")
        .with_param("kb"),
        ("modelnotready", _) => failure::model_not_ready(),
        ("unrecognizedclient" | "expiredtoken" | "invalidclienttokenid", _) => {
            failure::access_denied(THIS).again(Again::Refreshed)
        }
        ("accessdenied", _) | (_, 401 | 403) => failure::access_denied(THIS).again(Again::Refreshed),
        ("dependencyfailed" | "badgateway", _) => failed("knowledge_base_dependency_failed"),
        ("conflict", _) => failed("knowledge_base_conflict"),
        ("validation", _) | ("", 400) => validation(reply, own_filter),
        (_, 503) => failure::unavailable(),
        (_, 400..=499) => validation(reply, false),
        _ => failed("upstream_error"),
    }
}

/// Only what the client has sent can be its mistake.
fn validation(reply: &ErrorReply, own_filter: bool) -> Error {
    if own_filter {
        let why = failure::redact(reply.message.as_deref().unwrap_or("no reason given"));
        return Error::invalid("kb.filter", format!("The knowledge base refused the search: {why}"));
    }
    let text = "The knowledge base refused the search as the gateway is configured. Tell its operator.";
    Error::new(Kind::Upstream, text).with_code("knowledge_base_refused").without_retry()
}

/// Something answered, but not in the form of the service model.
pub fn malformed(detail: impl Into<String>) -> Error {
    Error::new(Kind::Upstream, "The knowledge base sent a reply that could not be read.")
        .with_code("upstream_malformed")
        .with_detail(detail)
        .again(Again::Once)
}

/// The body of a reply did not arrive whole.
pub fn cut(error: Error) -> Error {
    malformed(error.detail().unwrap_or_default())
}

/// The time-out of the configuration has passed.
pub fn timed_out(after: Duration) -> Error {
    let text = format!("The knowledge base did not answer within {} s.", after.as_secs_f64());
    Error::new(Kind::UpstreamTimeout, text).with_code("knowledge_base_timeout")
}
