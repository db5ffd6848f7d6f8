//! AWS with a quota of tokens per minute in each region.
//!
//! The user guide, "How tokens are counted": a request is admitted with its input and `max_tokens`. When it has ended, it
//! counts its input, what it wrote to the cache, and its output times a rate of the model. The guide does not say how the
//! minute is measured, so there are two rules.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use http::StatusCode;
use http_body::Frame;
use http_body_util::StreamBody;
use lintel::{
    call::{Caller, SentMark},
    model::Target,
    simulator::encode_event,
    upstream::{Request, Response, SendError, ServiceOperation, Transport},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{QUOTAS, tenants};

/// The rate of output of the model.
pub const PER_OUTPUT: u64 = 5;

const MINUTE: Duration = Duration::from_secs(60);

/// How AWS measures the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A bucket that holds the quota of a minute and is refilled evenly.
    Bucket,
    /// What began within the last minute counts.
    Window,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bucket => "token bucket",
            Self::Window => "last minute",
        }
    }
}

/// The service. It finds what a request costs by the number of the request, which its prompt begins with.
pub struct Aws {
    requests: Arc<[tenants::Request]>,
    regions: HashMap<&'static str, Quota>,
    counts: Arc<Mutex<Counts>>,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Requests that were throttled.
    pub throttled: u64,
    /// The tokens of the quotas that were used in the end.
    pub tokens: u64,
}

impl Aws {
    /// Creates the service, which has admitted nothing yet.
    pub fn new(rule: Rule, requests: Arc<[tenants::Request]>) -> Self {
        let regions = QUOTAS.map(|(region, quota)| (region, Quota::new(rule, quota)));
        Self {
            requests,
            regions: regions.into(),
            counts: Arc::default(),
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        *locked(&self.counts)
    }

    fn answer(&self, request: &Request, target: &Target) -> Option<Response> {
        let body: Value = serde_json::from_slice(&request.body).ok()?;
        let text = body.pointer("/messages/0/content/0/text")?.as_str()?;
        let number: usize = text.split(' ').next()?.parse().ok()?;
        let call = self.requests.get(number)?.clone();
        let max_tokens = body.pointer("/inferenceConfig/maxTokens")?.as_u64()?;
        let quota = self.regions.get(target.region.as_str())?.clone();
        let Some(id) = quota.admit(call.input + max_tokens) else {
            locked(&self.counts).throttled += 1;
            return throttled();
        };
        let first = sleep(call.first_token).map(|()| beginning());
        let last = sleep(call.first_token + call.rest);
        let counts = self.counts.clone();
        let last = last.map(move |()| {
            let tokens = call.input + call.output * PER_OUTPUT;
            quota.settle(id, tokens);
            locked(&counts).tokens += tokens;
            ending(&call)
        });
        let (first, last) = (stream::once(first), stream::once(last));
        let frames = first.chain(last);
        let frames = frames.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let body = SdkBody::from_body_1_x(StreamBody::new(frames));
        http::Response::builder().body(body).ok()
    }
}

impl Transport for Aws {
    fn send<'a>(
        &'a self,
        request: Request,
        target: &'a Target,
        _caller: Option<&'a Caller>,
        sent: &'a SentMark,
    ) -> BoxFuture<'a, Result<Response, SendError>> {
        sent.set();
        let unexpected = || SendError::Other("no request of the simulation".to_owned());
        Box::pin(ready(self.answer(&request, target).ok_or_else(unexpected)))
    }

    fn refresh(&self, _: ServiceOperation, _: &Target, _: Option<&Caller>) {}
}

fn throttled() -> Option<Response> {
    http::Response::builder()
        .status(StatusCode::TOO_MANY_REQUESTS)
        .header("x-amzn-errortype", "ThrottlingException")
        .body(SdkBody::from(r#"{"message":"Too many tokens"}"#))
        .ok()
}

fn beginning() -> Bytes {
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": "Yes"}});
    [
        encode_event("messageStart", r#"{"role":"assistant"}"#),
        encode_event("contentBlockDelta", &delta.to_string()),
    ]
    .concat()
    .into()
}

fn ending(call: &tenants::Request) -> Bytes {
    let usage = json!({
        "inputTokens": call.input,
        "outputTokens": call.output,
        "totalTokens": call.input + call.output,
    });
    let metadata = json!({"usage": usage, "metrics": {"latencyMs": 1}});
    [
        encode_event("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        encode_event("messageStop", r#"{"stopReason":"end_turn"}"#),
        encode_event("metadata", &metadata.to_string()),
    ]
    .concat()
    .into()
}

/// The quota of one region. Cheap to clone.
#[derive(Clone)]
struct Quota(Arc<Mutex<State>>);

struct State {
    rule: Rule,
    /// Tokens per minute.
    limit: f64,
    /// What is left in the bucket; less than nothing if requests used more than they were admitted with.
    left: f64,
    filled: Instant,
    /// The requests that count: when each was admitted, and with how many tokens.
    admitted: BTreeMap<u64, (Instant, f64)>,
    next: u64,
}

impl Quota {
    fn new(rule: Rule, limit: u64) -> Self {
        let limit = limit as f64;
        Self(Arc::new(Mutex::new(State {
            rule,
            limit,
            left: limit,
            filled: Instant::now(),
            admitted: BTreeMap::new(),
            next: 0,
        })))
    }

    /// Admits a request with so many tokens, if there is room, and returns its number.
    fn admit(&self, tokens: u64) -> Option<u64> {
        let mut state = locked(&self.0);
        let tokens = tokens as f64;
        let now = Instant::now();
        let refill = state.limit * (now - state.filled).as_secs_f64() / MINUTE.as_secs_f64();
        state.left = (state.left + refill).min(state.limit);
        state.filled = now;
        if state.rule == Rule::Window {
            state.admitted.retain(|_, (at, _)| *at + MINUTE > now);
            let used: f64 = state.admitted.values().map(|(_, tokens)| tokens).sum();
            state.left = state.limit - used;
        }
        if tokens > state.left {
            return None;
        }
        state.left -= tokens;
        let id = state.next;
        state.next += 1;
        state.admitted.insert(id, (now, tokens));
        Some(id)
    }

    /// Counts a request that has ended with the tokens that it has used.
    fn settle(&self, id: u64, tokens: u64) {
        let mut state = locked(&self.0);
        let tokens = tokens as f64;
        match state.rule {
            Rule::Window => {
                if let Some((_, counted)) = state.admitted.get_mut(&id) {
                    *counted = tokens;
                }
            }
            Rule::Bucket => {
                if let Some((_, counted)) = state.admitted.remove(&id) {
                    state.left += counted - tokens;
                }
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
