//! Converts failures of Retrieve into [`Error`]s. Error codes and statuses are those of the service model
//! `bedrock-agent-runtime`. Details for the log name the Knowledge Base, because a request can search several.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::{
    bedrock::reply::ErrorReply,
    call::Search,
    error::{Error, Kind, RetryAdvice},
    upstream::{SendError, failure, redact},
};

/// Converts a failure without a reply. A lost search counts as unreachable, because searches are not billed and can be
/// repeated.
pub fn from_send(error: SendError, name: &str) -> Error {
    let about = |detail: String| format!("Retrieve of '{name}': {detail}");
    failure::from_send(match error {
        SendError::Credentials(detail) => SendError::Credentials(about(format!(
            "{detail} (Retrieve is signed with AWS credentials: a Bedrock API key does not work)"
        ))),
        SendError::Lost(detail) | SendError::Unreachable(detail) => {
            SendError::Unreachable(about(detail))
        }
        SendError::Untrusted(detail) => SendError::Untrusted(about(detail)),
        SendError::ConnectTimeout(limit) => SendError::ConnectTimeout(limit),
        SendError::Other(detail) => SendError::Other(about(detail)),
    })
}

/// Converts a reply with an error status.
pub fn from_reply(status: StatusCode, headers: &HeaderMap, body: &[u8], search: &Search) -> Error {
    let (code, reply, detail) = failure::read(status, headers, body);
    let name = &search.base.name;
    from_code(&code.to_ascii_lowercase(), status, &reply, search)
        .with_detail(format!("Retrieve of '{name}': {detail}"))
}

/// Reports whether the body of an error is about the search type. The service has no error code for a store without
/// hybrid search, only a message ("HYBRID search type is not supported for search operation on index …").
pub fn is_about_search_type(body: &[u8]) -> bool {
    let reply: ErrorReply = serde_json::from_slice(body).unwrap_or_default();
    let text = reply.message.unwrap_or_default().to_ascii_lowercase();
    text.contains("search type is not supported") || text.contains("overridesearchtype")
}

fn from_code(code: &str, status: StatusCode, reply: &ErrorReply, search: &Search) -> Error {
    let this = format!("the knowledge base '{}'", search.base.name);
    let failed = |code| {
        let text = format!("Bedrock failed to search {this}. Try again.");
        Error::new(Kind::Upstream, text)
            .with_code(code)
            .with_retry_advice(RetryAdvice::Once)
    };
    match (code, status.as_u16()) {
        ("throttling" | "toomanyrequests", _) => failure::throttled(&this, reply),
        ("servicequotaexceeded", _) => failure::quota_exhausted(reply),
        ("resourcenotfound", _) | (_, 404) => Error::new(
            Kind::NotFound,
            format!("Bedrock does not have {this} in the configured region. Tell the gateway's operator."),
        )
        .with_code("knowledge_base_not_found")
        .with_param("kb"),
        ("modelnotready", _) => failure::model_not_ready(reply),
        ("accessdenied" | "unrecognizedclient" | "expiredtoken" | "invalidclienttokenid", _) | (_, 401 | 403) => {
            failure::access_denied(&this).with_retry_advice(RetryAdvice::Refreshed)
        }
        ("dependencyfailed" | "badgateway", _) => failed("knowledge_base_dependency_failed"),
        ("conflict", _) => failed("knowledge_base_conflict"),
        ("validation", _) | ("", 400) if search.own_filter => {
            // The client's filter can be the cause. The service's message is only shown if it cannot contain anything of
            // the operator's filter.
            let why = match search.only_own {
                true => redact(reply.message.as_deref().unwrap_or("no reason given")),
                false => "the filter cannot be used, alone or combined with the filters that this gateway adds".to_owned(),
            };
            let text = format!("Bedrock rejected the search of {this}: {why}");
            Error::invalid("kb.filter", text).with_code("invalid_filter")
        }
        (_, 429) => failure::throttled(&this, reply),
        (_, 503) => failure::unavailable(reply),
        (_, 400..=499) => {
            let text = format!("Bedrock rejects searches of {this} as configured. Tell the gateway's operator.");
            Error::new(Kind::Upstream, text).with_code("knowledge_base_refused").without_retry()
        }
        _ => failed("upstream_error"),
    }
}

/// The error for a reply that is incomplete or not in the form of the service model.
pub fn malformed(name: &str, headers: &HeaderMap, detail: &str) -> Error {
    let id = headers
        .get("x-amzn-requestid")
        .and_then(|id| id.to_str().ok())
        .unwrap_or("none");
    let detail = format!("Retrieve of '{name}' (AWS request id {id}): {detail}");
    Error::new(
        Kind::Upstream,
        format!("Bedrock returned a malformed reply for the knowledge base '{name}'."),
    )
    .with_code("upstream_malformed")
    .with_detail(detail)
    .with_retry_advice(RetryAdvice::Once)
}

/// The error for a search that did not end within the configured timeout.
pub fn timed_out(name: &str, after: Duration) -> Error {
    let text = format!(
        "The knowledge base '{name}' did not answer within {} s.",
        after.as_secs_f64()
    );
    Error::new(Kind::UpstreamTimeout, text).with_code("knowledge_base_timeout")
}
