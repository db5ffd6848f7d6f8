//! Sampling, limits, and the small members beside them.

use std::borrow::Cow;

use crate::{
    call::{Model, Notes},
    converse::request::{InferenceConfig, OrderedMap, ServiceTier},
    error::Error,
    openai::chat::ChatRequest,
};

/// The service model's `requestMetadata`: 16 pairs, values of 256 characters.
const METADATA_VALUE_MAX: usize = 256;

pub fn inference_config<'a>(request: &'a ChatRequest, model: &Model, notes: &Notes) -> InferenceConfig<'a> {
    let temperature = request.temperature.or(model.defaults.temperature).map(|asked| {
        // OpenAI's range is 0 to 2, Converse's 0 to 1. To scale it would change what 0.7 means.
        if asked > 1.0 {
            notes.add(format!("temperature: {asked} was lowered to 1, the most that Bedrock accepts"));
        }
        asked.min(1.0)
    });
    InferenceConfig {
        max_tokens: request.max_completion_tokens.or(request.max_tokens).unwrap_or(model.defaults.max_tokens),
        temperature,
        top_p: request.top_p.or(model.defaults.top_p),
        stop_sequences: request
            .stop
            .iter()
            .flat_map(|stop| &stop.0)
            .map(String::as_str)
            .filter(|s| !s.is_empty())
            .collect(),
    }
}

/// What is accepted and left out because the answer stays what was asked for.
pub fn note_ignored(request: &ChatRequest, notes: &Notes) {
    const NONE: &str = "Converse has no such parameter";
    let ignored = [
        ("seed", request.seed.is_some()),
        ("frequency_penalty", request.frequency_penalty.is_some_and(|p| p != 0.0)),
        ("presence_penalty", request.presence_penalty.is_some_and(|p| p != 0.0)),
        ("store", request.store == Some(true)),
        ("prediction", request.prediction.is_some()),
        ("verbosity", request.verbosity.is_some()),
        ("prompt_cache_key", request.prompt_cache_key.is_some()),
        ("prompt_cache_retention", request.prompt_cache_retention.is_some()),
    ];
    for (param, present) in ignored {
        if present {
            notes.dropped(param, NONE);
        }
    }
    if request.max_tokens.is_some() && request.max_completion_tokens.is_some() {
        notes.add("max_tokens: max_completion_tokens is there too, and wins");
    }
    if request.reasoning_effort.as_deref().is_some_and(|effort| effort != "none") {
        notes.dropped("reasoning_effort", "this version of lintel does not steer reasoning");
    }
}

/// `metadata`, `user` and `safety_identifier` travel to the invocation log as `requestMetadata`.
pub fn request_metadata<'a>(request: &'a ChatRequest, notes: &Notes) -> Option<OrderedMap<'a>> {
    let own = request.metadata.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
    let identity = [("user", &request.user), ("safety_identifier", &request.safety_identifier)];
    let identity = identity.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
    let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
    for (key, value) in own.chain(identity) {
        if pairs.len() == 16 {
            notes.dropped(key.to_owned(), "Bedrock takes 16 pairs of request metadata");
            continue;
        }
        let (fit_key, fit_value) = (fitting(key), fitting(value));
        if fit_key != key || fit_value != value {
            notes
                .add(format!("{fit_key}: cut, or with '_' for characters that Bedrock's request metadata cannot hold"));
        }
        if pairs.iter().all(|(other, _)| *other != fit_key) {
            pairs.push((fit_key, fit_value));
        }
    }
    (!pairs.is_empty()).then_some(OrderedMap(pairs))
}

/// The service model's pattern: other characters become `_`, what is too long is cut.
fn fitting(text: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " \t:_@$#=/+,-.".contains(c);
    if text.len() <= METADATA_VALUE_MAX && text.chars().all(allowed) {
        return Cow::Borrowed(text);
    }
    text.chars().take(METADATA_VALUE_MAX).map(|c| if allowed(c) { c } else { '_' }).collect::<String>().into()
}

pub fn service_tier(request: &ChatRequest) -> Result<Option<ServiceTier>, Error> {
    match request.service_tier.as_deref() {
        None | Some("auto" | "default") => Ok(None),
        Some("flex") => Ok(Some(ServiceTier::Flex)),
        Some("priority" | "fast") => Ok(Some(ServiceTier::Priority)),
        Some("scale" | "reserved") => Ok(Some(ServiceTier::Reserved)),
        Some(_) => Err(Error::invalid(
            "service_tier",
            "'service_tier' must be 'auto', 'default', 'flex', 'priority' or 'scale'.",
        )),
    }
}
