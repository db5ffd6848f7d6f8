//! Replies as HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use serde::Serialize;

use super::access_log::Entry;
use crate::{
    call::{Model, Notes, Usage, WholeReply},
    error::{Error, Kind},
    openai::completion::{self, ChatCompletion, Choice},
};

/// Header values longer than this are refused by common proxies.
const MAX_WARNINGS: usize = 2048;

/// # Errors
/// If the reply cannot be written, which is a fault of ours.
pub fn json(value: &impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(value).map_err(|error| {
        Error::new(Kind::Internal, "The gateway could not write its reply.").with_detail(error.to_string())
    })?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A whole chat completion. `model` is the name that the client asked for.
pub fn whole(entry: &Entry, model: &str, reply: &WholeReply) -> Result<Response, Error> {
    json(&ChatCompletion {
        id: &completion_id(entry),
        object: "chat.completion",
        created: created(),
        model,
        choices: vec![Choice { index: 0, message: &reply.message, logprobs: None, finish_reason: reply.finish_reason }],
        usage: usage(&reply.usage),
    })
}

pub fn completion_id(entry: &Entry) -> String {
    format!("chatcmpl-{}", entry.id())
}

/// Unix seconds.
pub fn created() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// OpenAI's usage object. Every known bucket is told, also where it is zero, as OpenAI does.
pub fn usage(usage: &Usage) -> completion::Usage {
    completion::Usage {
        prompt_tokens: usage.prompt(),
        completion_tokens: usage.output,
        total_tokens: usage.total(),
        prompt_tokens_details: completion::PromptTokensDetails {
            cached_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            audio_tokens: 0,
        },
        completion_tokens_details: completion::CompletionTokensDetails::default(),
        estimated: usage.estimated,
    }
}

/// Who really answered, from where, and what was done otherwise than asked.
pub fn add_headers(response: &mut Response, model: &Model, notes: &Notes) {
    let headers = response.headers_mut();
    let mut insert = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    if let Some(id) = model.target.shown() {
        insert("x-lintel-model", id);
    }
    insert("x-lintel-region", &model.target.region);
    insert("x-lintel-route", "converse");
    if let Some(warnings) = notes.joined() {
        insert("x-lintel-warnings", &printable(&warnings));
    }
}

/// Client text may stand in a warning: only printable ASCII goes into a header.
fn printable(text: &str) -> String {
    text.chars().take(MAX_WARNINGS).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}
