//! Optional members that an endpoint refuses, contrary to its documentation. The first refusal is answered by sending the
//! request once more without the member, and is remembered.

use std::{collections::BTreeMap, time::Duration};

use quick_cache::sync::Cache;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    call::Call,
    error::{Error, Kind},
    model::DroppedParameters,
    money::Tier,
    operation::chat::Chat,
    upstream::{Request, ServiceOperation},
};

/// Members without which the answer is still one to the request. Stop sequences are applied by the gateway in any case.
const OPTIONAL: [&str; 6] = [
    "temperature",
    "top_p",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "service_tier",
];

/// The time for which a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Cap on the number of remembered refusals.
const MAX_REFUSALS: usize = 1000;

/// The refusals of all targets.
pub struct Refusals(Cache<String, Instant>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Cache::new(MAX_REFUSALS))
    }
}

impl Refusals {
    /// Returns `request` without the members that its target is known to refuse.
    pub fn without_known(&self, call: &Call<Chat>, mut request: Request) -> Request {
        if !may_drop(call, &request) {
            return request;
        }
        for member in OPTIONAL {
            let known = self.0.get(&key(call, request.operation, member));
            if known.is_some_and(|until| until > Instant::now())
                && let Some(rest) = without(call, &request, member)
            {
                request = rest;
            }
        }
        request
    }

    /// Returns `request` without the optional member that `error` refuses, and remembers the refusal. `None` if the error
    /// has another cause.
    pub fn learn(&self, call: &Call<Chat>, request: &Request, error: &Error) -> Option<Request> {
        let member = refused(error).filter(|_| may_drop(call, request))?;
        let rest = without(call, request, member)?;
        let until = Instant::now() + REMEMBERED;
        self.0.insert(key(call, request.operation, member), until);
        Some(rest)
    }
}

/// Reports whether members may be dropped. An operator can forbid it.
fn may_drop(call: &Call<Chat>, request: &Request) -> bool {
    is_native(request.operation) && call.model.dropped_parameters != DroppedParameters::Refuse
}

fn is_native(operation: ServiceOperation) -> bool {
    matches!(
        operation,
        ServiceOperation::ChatCompletions
            | ServiceOperation::MantleChatCompletions(_)
            | ServiceOperation::Responses
            | ServiceOperation::MantleResponses(_)
    )
}

fn key(call: &Call<Chat>, operation: ServiceOperation, member: &str) -> String {
    let target = call.model.target();
    format!("{operation:?} {} {} {member}", target.region, target.id)
}

/// Returns the optional member that the error names.
fn refused(error: &Error) -> Option<&'static str> {
    if error.kind() != Kind::InvalidRequest || error.code() == Some("context_length_exceeded") {
        return None;
    }
    let is_named = |member: &&&str| match error.param() {
        Some(param) => param == **member,
        None => {
            let words = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            let mut words = error.message().split(words);
            words.any(|word| word == **member)
        }
    };
    OPTIONAL.iter().find(is_named).copied()
}

/// Returns the request without the member, or `None` if it does not have the member or must not lose it.
fn without(call: &Call<Chat>, request: &Request, member: &'static str) -> Option<Request> {
    // The standard tier costs more than what was reserved for `flex`.
    if member == "service_tier" && call.body.tier() == Tier::Flex {
        return None;
    }
    let mut body: BTreeMap<&str, &RawValue> = serde_json::from_slice(&request.body).ok()?;
    body.remove(member)?;
    let body = serde_json::to_vec(&body).ok()?;
    match member {
        "stop" => call
            .trace
            .warnings()
            .add("stop: emulated by cutting the text (the endpoint rejects it)"),
        _ => call
            .trace
            .warnings()
            .dropped(member, "the endpoint rejects it for this model"),
    }
    Some(Request {
        body: body.into(),
        ..request.clone()
    })
}
