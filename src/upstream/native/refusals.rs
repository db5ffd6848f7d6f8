//! Optional members that an endpoint refuses, contrary to its documentation. The first refusal is answered by sending the
//! request once more without the member, and is remembered.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    call::Call,
    error::{Error, Kind},
    model::DroppedParameters,
    money::Tier,
    operation::chat::Chat,
    upstream::{Request, ServiceOperation, chat::decoder::Decoder, failure},
};

/// Members without which the answer is still one to the request. Stop sequences are applied by the gateway in any case.
const OPTIONAL: [&str; 6] = [
    "temperature",
    "top_p",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    TIER,
];

/// The member that decides about the price.
const TIER: &str = "service_tier";

/// The codes of errors that say that the model does not have the member.
const REFUSALS: [&str; 2] = ["unsupported_parameter", "unsupported_value"];

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
    pub fn without_known(&self, call: &Call<Chat>, request: Request) -> Reduced {
        let mut reduced = Reduced {
            request,
            lost_tier: false,
        };
        if !may_drop(call, &reduced.request) {
            return reduced;
        }
        for member in OPTIONAL {
            let known = self.0.get(&key(call, reduced.request.operation, member));
            if known.is_some_and(|until| until > Instant::now())
                && let Some(rest) = without(call, &reduced.request, member)
            {
                reduced.request = rest;
                reduced.lost_tier |= member == TIER;
            }
        }
        reduced
    }

    /// Returns the optional member that `error` refuses, and `request` without it. `None` if the error has another cause.
    pub fn reduced(
        &self,
        call: &Call<Chat>,
        request: &Request,
        error: &Error,
    ) -> Option<(&'static str, Reduced)> {
        let member = refused(error).filter(|_| may_drop(call, request))?;
        let reduced = Reduced {
            request: without(call, request, member)?,
            lost_tier: member == TIER,
        };
        Some((member, reduced))
    }

    /// Remembers that the target refuses `member`. Call it only after the request without the member succeeded: the error may
    /// have been about the content of one request.
    pub fn learn(&self, call: &Call<Chat>, operation: ServiceOperation, member: &'static str) {
        let until = Instant::now() + REMEMBERED;
        self.0.insert(key(call, operation, member), until);
    }
}

/// A request that may lack members of the client's.
pub struct Reduced {
    pub request: Request,
    /// `service_tier` is among the members that it lacks.
    lost_tier: bool,
}

impl Reduced {
    /// Returns the decoder for the reply to this request. What was not sent is not billed.
    pub fn decoder(&self, decoder: Arc<dyn Decoder>) -> Arc<dyn Decoder> {
        let standard = self.lost_tier.then(|| decoder.at_standard_tier()).flatten();
        standard.unwrap_or(decoder)
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

/// Returns the optional member that the error refuses: that of `param`, or the one in a message of a known form. Words
/// elsewhere in a message can be the client's own.
fn refused(error: &Error) -> Option<&'static str> {
    if error.kind() != Kind::InvalidRequest {
        return None;
    }
    let said = named(error.message());
    // Any other error about a member may be about its value, which is that of one client.
    let refused = match error.param() {
        Some(param) if error.code().is_some_and(|code| REFUSALS.contains(&code)) => Some(param),
        Some(param) => said.filter(|said| *said == param),
        None => said,
    }?;
    OPTIONAL.iter().find(|member| **member == refused).copied()
}

/// Returns the member that a message refuses, in the forms of OpenAI and of common servers.
fn named(message: &str) -> Option<&str> {
    const STARTS: [&str; 4] = [
        "Unsupported parameter: ",
        "Unsupported value: ",
        "Unrecognized request argument supplied: ",
        "Unknown parameter: ",
    ];
    const ENDS: [&str; 7] = [
        " is not available",
        " is not supported",
        " is not supported with this model",
        " is not supported for this model",
        " is not supported by this model",
        " is unsupported",
        " is not permitted",
    ];
    let message = message.strip_prefix(failure::REJECTED)?;
    let own = STARTS.iter().find_map(|start| message.strip_prefix(start));
    let rest = own.unwrap_or(message);
    let (member, rest) = match rest.chars().next()? {
        quote @ ('\'' | '"' | '`') => rest[1..].split_once(quote)?,
        _ => rest.split_at(rest.find([' ', '.', ',', ':']).unwrap_or(rest.len())),
    };
    // What stands first in a message without such a start can be the client's text too, unless nothing follows.
    (own.is_some() || ENDS.contains(&rest.trim_end_matches('.'))).then_some(member)
}

/// Returns the request without the member, or `None` if it does not have the member or must not lose it.
fn without(call: &Call<Chat>, request: &Request, member: &'static str) -> Option<Request> {
    // The standard tier costs more than what was reserved for `flex`.
    if member == TIER && call.body.tier() == Tier::Flex {
        return None;
    }
    let mut body: BTreeMap<String, &RawValue> = serde_json::from_slice(&request.body).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_member_is_read_only_from_messages_of_a_known_form() {
        for (message, expected) in [
            (
                "Unsupported parameter: 'temperature' is not supported with this model.",
                Some("temperature"),
            ),
            (
                "Unsupported value: 'temperature' does not support 0.2 with this model.",
                Some("temperature"),
            ),
            ("Unrecognized request argument supplied: stop", Some("stop")),
            ("service_tier is not supported", Some("service_tier")),
            ("service_tier is not available.", Some("service_tier")),
            (
                "Invalid tool name 'temperature': names must not be reserved",
                None,
            ),
            ("'stop' is not a valid tool name", None),
            ("Too many requests in queue, please stop and retry", None),
            ("'temperature' is not supported as a tool name", None),
            ("Invalid value: \"Unsupported parameter: 'stop'\"", None),
        ] {
            let message = format!("{}{message}", failure::REJECTED);
            let error = Error::new(Kind::InvalidRequest, message.clone());
            assert_eq!(refused(&error), expected, "{message}");
        }
        let error = |code| {
            Error::new(Kind::InvalidRequest, "x")
                .with_param("stop")
                .with_code(code)
        };
        assert_eq!(refused(&error("unsupported_value")), Some("stop"));
        for code in [
            "invalid_value",
            "invalid_request",
            "decimal_above_max_value",
            "context_length_exceeded",
        ] {
            assert_eq!(refused(&error(code)), None, "{code}");
        }
    }
}
