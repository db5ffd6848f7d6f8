//! Replies as HTTP.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::access_log::Entry;
use crate::{
    call::{Allowed, Model, Notes, Passage, Retrieval, Usage, WholeReply},
    error::{Error, Kind},
    openai::{
        completion::{ChatCompletion, Choice},
        knowledge_base::{KbReply, PassageObject},
        usage as wire,
    },
};

/// Header values longer than this are refused by common proxies.
const MAX_WARNINGS: usize = 2048;

/// # Errors
/// If the reply cannot be written, which is a fault of ours.
pub fn json(value: &impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(value).map_err(|error| {
        Error::new(Kind::Internal, "The gateway could not write its reply.")
            .with_detail(error.to_string())
    })?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

/// A whole chat completion. `model` is the name that the client asked for.
pub fn whole(
    entry: &Entry,
    model: &str,
    reply: &WholeReply,
    retrieval: Option<&Arc<Retrieval>>,
) -> Result<Response, Error> {
    json(&ChatCompletion {
        id: &completion_id(entry),
        object: "chat.completion",
        created: created(),
        model,
        choices: (0..)
            .zip(&reply.choices)
            .map(|(index, choice)| Choice {
                index,
                message: &choice.message,
                logprobs: None,
                finish_reason: choice.finish_reason,
            })
            .collect(),
        service_tier: reply.usage.service_tier,
        usage: usage(&reply.usage),
        bedrock_guardrail: reply.guardrail.as_ref(),
        kb: retrieval.map(|retrieval| kb(retrieval)),
    })
}

/// Where the answer comes from.
pub fn kb(retrieval: &Retrieval) -> KbReply<'_> {
    let object = |(index, passage)| passage_object(index, passage);
    let passages = || (1..).zip(&retrieval.passages).map(object).collect();
    KbReply {
        name: &retrieval.names,
        used: retrieval.used(),
        passages: retrieval.include_sources.then(passages),
        context_chars: retrieval.context_chars,
        reason: retrieval.reason,
    }
}

fn passage_object(index: usize, passage: &Passage) -> PassageObject<'_> {
    let Passage {
        kb,
        source,
        score,
        metadata,
        location,
        ..
    } = passage;
    PassageObject {
        index,
        kb,
        source,
        score: *score,
        metadata,
        location: location.as_ref(),
    }
}

pub fn completion_id(entry: &Entry) -> String {
    format!("chatcmpl-{}", entry.id())
}

/// Unix seconds.
pub fn created() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// OpenAI's usage object. Every known bucket is told, also where it is zero, as OpenAI does.
pub fn usage(usage: &Usage) -> wire::Usage {
    let written = usage.cache_write > 0;
    wire::Usage {
        prompt_tokens: usage.prompt(),
        completion_tokens: usage.output,
        total_tokens: usage.total(),
        prompt_tokens_details: wire::PromptTokensDetails {
            cached_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            cache_write_5m_tokens: written.then(|| usage.cache_write_5m()),
            cache_write_1h_tokens: written.then_some(usage.cache_write_1h),
            audio_tokens: 0,
        },
        completion_tokens_details: wire::CompletionTokensDetails {
            reasoning_tokens: usage.reasoning,
            reasoning_tokens_estimated: usage.reasoning_estimated,
            ..wire::CompletionTokensDetails::default()
        },
        server_tool_uses: Some(usage.server_tool_uses).filter(|uses| *uses > 0),
        cost: usage
            .cost
            .and_then(|cost| RawValue::from_string(cost.total().to_string()).ok()),
        estimated: usage.estimated,
    }
}

/// Who really answered, from where, and what was done otherwise than asked.
pub fn add_headers(
    response: &mut Response,
    model: &Model,
    route: &str,
    notes: &Notes,
    whole: Option<&WholeReply>,
) {
    let headers = response.headers_mut();
    let mut insert = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    // A router's answer names the model that it picked, in an ARN.
    let invoked = whole.and_then(|reply| reply.invoked_model.as_deref());
    let invoked = invoked.and_then(|arn| arn.rsplit('/').next());
    if let Some(id) = invoked.or(model.target.shown()) {
        insert("x-lintel-model", id);
    }
    if let Some(cost) = whole.and_then(|reply| reply.usage.cost) {
        insert("x-lintel-cost-usd", &cost.total().to_string());
    }
    insert("x-lintel-region", &model.target.region);
    insert("x-lintel-route", route);
    if let Some(warnings) = notes.joined() {
        insert("x-lintel-warnings", &printable(&warnings));
    }
}

/// How often Bedrock was asked, all choices together.
pub fn add_attempts(response: &mut Response, attempts: u32) {
    response.headers_mut().insert(
        HeaderName::from_static("x-lintel-attempts"),
        HeaderValue::from(attempts),
    );
}

/// What is left of the tightest limits, in OpenAI's headers.
pub fn add_rate_limits(response: &mut Response, allowed: &Allowed) {
    const REQUESTS: [&str; 3] = [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ];
    const TOKENS: [&str; 3] = [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ];
    for (names, left) in [(REQUESTS, allowed.requests), (TOKENS, allowed.tokens)] {
        let Some(left) = left else { continue };
        let values = [
            left.limit.to_string(),
            left.remaining.to_string(),
            reset(left.reset),
        ];
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// OpenAI's durations: `12ms`, `1.5s`, `6m0s`.
fn reset(left: Duration) -> String {
    let (seconds, millis) = (left.as_secs(), left.subsec_millis());
    match (seconds, millis) {
        (0, millis) => format!("{millis}ms"),
        (1..60, 0) => format!("{seconds}s"),
        (1..60, _) => format!(
            "{}s",
            f64::from(u32::try_from(left.as_millis()).unwrap_or(u32::MAX)) / 1000.0
        ),
        (60..3600, _) => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// Client text may stand in a warning: only printable ASCII goes into a header.
fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_WARNINGS)
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_openais() {
        for (millis, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (360_000, "6m0s"),
            (3_661_000, "1h1m1s"),
        ] {
            assert_eq!(reset(Duration::from_millis(millis)), text);
        }
    }
}
