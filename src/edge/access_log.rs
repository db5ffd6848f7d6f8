//! Logs one line per request after the last byte of its response: caller, model, outcome and cost. The line never
//! contains secrets, prompts or completions.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use ulid::Ulid;

use super::{body_guard::until_end, labels, rescue::RescuedError};
use crate::{
    call::{Caller, Retrieval, SearchReport, Trace},
    error::Error,
    metrics,
    model::Model,
    money::Usage,
    operation::{CallEnd, EndReason},
};

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The access log entry of a request. Its fields are set as they become known.
#[derive(Clone)]
pub struct Entry(Arc<Inner>);

/// Writes the line when it is dropped, that is, with the last reference to the entry: a call may outlive its response.
struct Inner {
    id: Ulid,
    request_id: Arc<str>,
    began: Instant,
    route: &'static str,
    method: &'static str,
    peer: Option<Peer>,
    trace: Trace,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    status: Option<u16>,
    key_id: Option<String>,
    team: Option<String>,
    model: Option<String>,
    target: Option<String>,
    stream: bool,
    usage: Option<Usage>,
    reason: Option<EndReason>,
    finish_reason: Option<&'static str>,
    error: Option<LoggedError>,
}

/// The logged fields of an error.
struct LoggedError {
    reason: &'static str,
    code: Option<&'static str>,
    message: String,
    detail: Option<String>,
}

impl Entry {
    pub(super) fn new(route: &'static str, method: &'static str, peer: Option<Peer>) -> Self {
        let id = Ulid::generate();
        let request_id: Arc<str> = format!("req_{id}").into();
        Self(Arc::new(Inner {
            id,
            trace: Trace::of_request(request_id.clone()),
            request_id,
            began: Instant::now(),
            route,
            method,
            peer,
            facts: Mutex::default(),
        }))
    }

    /// Returns the ID of the request. The ID of the reply contains it, so that either can be found from the other.
    pub fn id(&self) -> Ulid {
        self.0.id
    }

    /// Returns the value of the header `x-request-id`.
    pub fn request_id(&self) -> &Arc<str> {
        &self.0.request_id
    }

    /// Returns the time since the request arrived.
    pub fn elapsed(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Returns the address of the client.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.peer.map(|Peer(address)| address.ip())
    }

    /// Sets the key and team of the request.
    pub fn set_caller(&self, caller: &Caller) {
        self.with(|facts| {
            facts.key_id = Some(caller.key_id.clone());
            facts.team = caller.team.as_ref().map(|team| team.name.clone());
        });
    }

    /// Returns the trace of the call that the request makes.
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Sets the model that the request calls.
    pub fn set_model(&self, model: &Model) {
        self.with(|facts| {
            facts.model = Some(model.name.clone());
            facts.target = Some(model.target().id.clone());
        });
    }

    /// Sets whether the response is streamed.
    pub fn set_stream(&self, is_stream: bool) {
        self.with(|facts| facts.stream = is_stream);
    }

    /// Sets the outcome and the usage of the call.
    pub fn set_end(&self, end: &CallEnd) {
        self.with(|facts| {
            facts.usage = end.usage;
            facts.reason = Some(end.reason);
            facts.finish_reason = end.finish_reason;
        });
    }

    /// Sets the error that was sent to the client. Has no effect if an error is already set.
    pub fn set_error(&self, error: &Error) {
        self.with(|facts| {
            facts.error.get_or_insert_with(|| LoggedError {
                reason: error.kind().reason(),
                code: error.code(),
                message: error.log_message().chars().take(500).collect(),
                detail: error
                    .detail()
                    .map(|detail| detail.chars().take(1000).collect()),
            });
        });
    }

    fn with(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Middleware that creates the [`Entry`], adds the request ID and the duration to the response headers, and logs the
/// request after its response has ended.
pub async fn access_log(mut request: Request, next: Next) -> Response {
    let route = labels::route(
        request
            .extensions()
            .get::<MatchedPath>()
            .map(MatchedPath::as_str),
    );
    let method = labels::method(request.method());
    let peer = request.extensions().get::<Peer>().copied();
    let entry = Entry::new(route, method, peer);
    request.extensions_mut().insert(entry.clone());
    let mut response = next.run(request).await;
    entry.with(|facts| facts.status = Some(response.status().as_u16()));
    if let Some(RescuedError(error)) = response.extensions().get::<RescuedError>() {
        entry.set_error(error);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(entry.request_id()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let millis = u64::try_from(entry.elapsed().as_millis()).unwrap_or(u64::MAX);
    headers.insert(
        HeaderName::from_static("openai-processing-ms"),
        HeaderValue::from(millis),
    );
    until_end(response, entry)
}

/// Describes the search in each Knowledge Base, if there were several. The other `kb_` fields describe a single search.
fn searches(kb: &Retrieval) -> Option<String> {
    let one = |search: &SearchReport| {
        let SearchReport {
            kb: name,
            found,
            dropped,
            context_chars,
            took,
            failed,
        } = search;
        let millis = took.as_millis();
        match failed {
            Some(code) => format!("{name}: {code}, {millis} ms"),
            None => format!(
                "{name}: results {found}, dropped {dropped}, context_chars {context_chars}, {millis} ms"
            ),
        }
    };
    (kb.searches.len() > 1).then(|| kb.searches.iter().map(one).collect::<Vec<_>>().join("; "))
}

impl Drop for Inner {
    fn drop(&mut self) {
        let facts = std::mem::take(self.facts.get_mut().unwrap_or_else(PoisonError::into_inner));
        let Facts {
            status,
            key_id,
            team,
            model,
            target,
            stream,
            usage,
            reason: ended,
            finish_reason,
            error,
        } = facts;
        let last = self.trace.last();
        let kb = last.retrieval();
        let spend = last.spending().total();
        let usage = usage.or(spend.usage);
        // What the ledger has, which may be more than the client was told: an estimate costs at least the reserved input.
        let cost = self.trace.charged();
        let cost = cost.or_else(|| Some(usage?.cost?.total()));
        let target = self
            .trace
            .target()
            .map(|target| target.id.clone())
            .or(target);
        let gone =
            status.is_none() || matches!(ended, Some(EndReason::ClientGone | EndReason::Drained));
        // 499, as nginx logs it: the client disconnected before there was a response.
        let status = status.unwrap_or(499);
        let reason = match &error {
            Some(error) => error.reason,
            None if gone => "client_cancel",
            None => "ok",
        };
        metrics::http_request(self.route, self.method, status, reason);
        tracing::info!(
            target: "lintel::access",
            request_id = &*self.request_id,
            client = self.peer.map(|peer| tracing::field::display(peer.0.ip())),
            method = self.method,
            route = self.route,
            status,
            reason,
            duration_ms = self.began.elapsed().as_secs_f64() * 1000.0,
            key_id,
            team,
            model,
            target_model = target,
            stream,
            ended = ended.map(EndReason::label),
            finish_reason,
            input_tokens = usage.map(|usage| usage.prompt()),
            output_tokens = usage.map(|usage| usage.output),
            cached_tokens = usage.map(|usage| usage.cache_read).filter(|n| *n > 0),
            cache_write_tokens = usage.map(|usage| usage.cache_write).filter(|n| *n > 0),
            reasoning_tokens = usage.map(|usage| usage.reasoning).filter(|n| *n > 0),
            cost_usd = cost.map(tracing::field::display),
            usage_estimated = (!spend.is_reported()).then_some(true),
            kb = kb.map(|kb| kb.names.as_slice().join(",")),
            kb_used = kb.map(|kb| kb.used()),
            kb_reason = kb.and_then(|kb| kb.reason),
            kb_results = kb.map(|kb| kb.found()),
            kb_dropped = kb.map(|kb| kb.dropped()).filter(|n| *n > 0),
            kb_passages = kb.map(|kb| kb.passages.len()),
            kb_context_chars = kb.map(|kb| kb.context_chars),
            kb_avg_score = kb.and_then(|kb| kb.average_score()),
            kb_query_chars = kb.map(|kb| kb.query_chars),
            kb_ms = kb.map(|kb| kb.took.as_secs_f64() * 1000.0),
            kb_searches = kb.and_then(|kb| searches(kb)),
            error_code = error.as_ref().and_then(|error| error.code),
            error = error.as_ref().map(|error| error.message.as_str()),
            error_detail = error.as_ref().and_then(|error| error.detail.as_deref()),
            warnings = self.trace.warnings().joined(),
        );
    }
}
