//! Sampling, limits, and the small members beside them.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Context, reasoning, reasoning::Reasoning};
use crate::{
    bedrock::request::{ConverseRequest, InferenceConfig, OrderedMap, ServiceTier},
    call::{REQUEST_ID, Warnings},
    error::Error,
    model::{Model, Sampling},
    operation::chat::Chat,
};

/// The service model's `requestMetadata`: 16 pairs, values of 256 characters.
const METADATA_MAX: usize = 16;

/// Pairs of the gateway's own, by which a line of Bedrock's invocation log is matched with the ledger.
const OWN_METADATA: usize = 2;
const METADATA_VALUE_MAX: usize = 256;

/// Below this Claude refuses `top_p` while it thinks.
const THINKING_TOP_P: f64 = 0.95;

/// `inferenceConfig`, and the stop sequences that the gateway must look for itself.
pub fn inference_config<'a>(
    request: &'a Chat,
    reasoning: &Reasoning,
    fields: &mut Map<String, Value>,
    cx: &Context<'a>,
) -> (InferenceConfig<'a>, Vec<String>) {
    let (model, warnings) = (cx.model, cx.warnings);
    let (stop_sequences, emulated) = stops(request, model, warnings);
    let (temperature, top_p) = sampling(request, reasoning, model, warnings);
    penalties(request, reasoning, fields, cx);
    let config = InferenceConfig {
        max_tokens: max_tokens(request, reasoning, model, warnings),
        temperature,
        top_p,
        stop_sequences,
    };
    (config, emulated)
}

fn max_tokens(
    request: &Chat,
    reasoning: &Reasoning,
    model: &Model,
    warnings: &Warnings,
) -> Option<u32> {
    if request.max_tokens.is_some() && request.max_completion_tokens.is_some() {
        warnings.add("max_tokens: max_completion_tokens is there too, and wins");
    }
    let asked = request.max_completion_tokens.or(request.max_tokens);
    if reasoning.unlimited {
        if asked.is_some() {
            warnings.dropped(
                "max_tokens",
                "the model takes none at this reasoning effort",
            );
        } else {
            warnings.add(
                "max_tokens: none was sent, the model takes none at this reasoning effort and may write all it can",
            );
        }
        return None;
    }
    if let Some(budget) = reasoning.budget {
        let tokens = clamped(
            reasoning::max_tokens(asked, budget, model, warnings),
            asked,
            model,
            warnings,
        );
        if asked.is_none() && tokens > model.defaults.max_tokens {
            warnings.add(format!(
                "max_tokens: {tokens} was sent, more than the default, because thinking counts within it"
            ));
        }
        return Some(tokens);
    }
    Some(clamped(
        asked.unwrap_or(model.defaults.max_tokens),
        asked,
        model,
        warnings,
    ))
}

fn clamped(tokens: u32, asked: Option<u32>, model: &Model, warnings: &Warnings) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let within = tokens.min(most).max(model.facts.min_output_tokens);
    // What nobody asked for needs no warning.
    if within != tokens && asked.is_some() {
        let bound = if within < tokens { "most" } else { "least" };
        warnings.add(format!(
            "max_tokens: {tokens} was sent as {within}, the {bound} that the model takes"
        ));
    }
    within
}

fn sampling(
    request: &Chat,
    reasoning: &Reasoning,
    model: &Model,
    warnings: &Warnings,
) -> (Option<f64>, Option<f64>) {
    let mut temperature = request
        .temperature
        .or(model.defaults.temperature)
        .map(|asked| {
            // OpenAI's range is 0 to 2, Converse's 0 to 1. To scale it would change what 0.7 means.
            if asked > 1.0 {
                warnings.add(format!(
                    "temperature: {asked} was lowered to 1, the most that Bedrock accepts"
                ));
            }
            asked.min(1.0)
        });
    let mut top_p = request.top_p.or(model.defaults.top_p);
    let is_one = |value: f64| (value - 1.0).abs() < f64::EPSILON;
    let facts = &model.facts;
    let none = match facts.sampling {
        Sampling::None => true,
        Sampling::NoneWhileReasoning => reasoning.on,
        Sampling::All | Sampling::OneOf => reasoning.unlimited,
    };
    let drop =
        |param: &'static str, asked: Option<f64>, value: &mut Option<f64>, why: &'static str| {
            // What a default of the configuration asks for is no news to the client; 1 changes nothing.
            if let Some(dropped) = value.take()
                && asked.is_some()
                && !is_one(dropped)
            {
                warnings.dropped(param, why);
            }
        };
    if none {
        drop(
            "temperature",
            request.temperature,
            &mut temperature,
            "the model takes no sampling parameters",
        );
        drop(
            "top_p",
            request.top_p,
            &mut top_p,
            "the model takes no sampling parameters",
        );
    } else if reasoning.on && facts.reasoning.signed && !facts.forced_choice_while_reasoning {
        if !temperature.is_some_and(is_one) {
            drop(
                "temperature",
                request.temperature,
                &mut temperature,
                "the model takes none while it reasons",
            );
        }
        if !top_p.is_some_and(|top_p| top_p >= THINKING_TOP_P) {
            drop(
                "top_p",
                request.top_p,
                &mut top_p,
                "the model takes none below 0.95 while it reasons",
            );
        }
    }
    if facts.sampling == Sampling::OneOf && temperature.is_some() && top_p.is_some() {
        drop(
            "top_p",
            request.top_p,
            &mut top_p,
            "the model takes temperature or top_p, not both",
        );
    }
    (temperature, top_p)
}

/// `top_k`, `seed` and the penalties, where the family has a place for them.
fn penalties(
    request: &Chat,
    reasoning: &Reasoning,
    fields: &mut Map<String, Value>,
    cx: &Context<'_>,
) {
    let facts = &cx.model.facts;
    let non_zero =
        |penalty: Option<f64>| penalty.filter(|penalty| *penalty != 0.0).map(Value::from);
    let top_k = request.top_k.map(Value::from);
    let no_top_k = facts.sampling == Sampling::None || (reasoning.on && facts.reasoning.signed);
    let members = [
        ("top_k", top_k, facts.top_k.as_deref().filter(|_| !no_top_k)),
        ("seed", request.seed.map(Value::from), facts.seed.as_deref()),
        (
            "frequency_penalty",
            non_zero(request.frequency_penalty),
            facts.frequency_penalty.as_deref(),
        ),
        (
            "presence_penalty",
            non_zero(request.presence_penalty),
            facts.presence_penalty.as_deref(),
        ),
    ];
    for (param, value, place) in members {
        match (value, place) {
            (Some(value), Some(place)) => put(fields, place, value),
            (Some(_), None) => cx
                .warnings
                .dropped(param, "the model has no such parameter"),
            (None, _) => {}
        }
    }
}

/// Puts `value` at a path whose members are separated by dots.
fn put(fields: &mut Map<String, Value>, place: &str, value: Value) {
    match place.split_once('.') {
        None => {
            fields.insert(place.to_owned(), value);
        }
        Some((member, rest)) => {
            let inner = fields
                .entry(member)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn stops<'a>(request: &'a Chat, model: &Model, warnings: &Warnings) -> (Vec<&'a str>, Vec<String>) {
    let facts = &model.facts;
    let asked = request
        .stop
        .iter()
        .flat_map(|stop| &stop.0)
        .map(String::as_str)
        .filter(|stop| !stop.is_empty());
    let (taken, mut emulated): (Vec<&str>, Vec<&str>) =
        asked.partition(|stop| facts.stop && (facts.blank_stop || !stop.trim().is_empty()));
    let mut sent = taken;
    if let Some(max) = facts.max_stop.filter(|max| *max < sent.len()) {
        emulated.extend(sent.drain(max..));
    }
    if !emulated.is_empty() {
        warnings
            .add("stop: emulated, the gateway cuts the text where the model does not stop itself");
    }
    (sent, emulated.into_iter().map(str::to_owned).collect())
}

/// What is accepted and left out because the answer stays what was asked for.
pub fn note_ignored(request: &Chat, warnings: &Warnings) {
    let ignored = [
        (
            "store",
            request.store == Some(true),
            "this gateway keeps no answers",
        ),
        (
            "prediction",
            request.prediction.is_some(),
            "Converse has no such parameter",
        ),
        (
            "verbosity",
            request.verbosity.is_some(),
            "Converse has no such parameter",
        ),
        (
            "prompt_cache_key",
            request.prompt_cache_key.is_some(),
            "Bedrock routes by itself",
        ),
        (
            "prompt_cache_retention",
            request.prompt_cache_retention.as_deref() == Some("in_memory"),
            "see cache_control",
        ),
    ];
    for (param, present, why) in ignored {
        if present {
            warnings.dropped(param, why);
        }
    }
}

/// `metadata`, `user` and `safety_identifier` travel to the invocation log as `requestMetadata`.
pub fn request_metadata<'a>(
    request: &'a Chat,
    hash_users: bool,
    warnings: &Warnings,
) -> Option<OrderedMap<'a, Cow<'a, str>>> {
    let bedrock = request
        .bedrock
        .as_ref()
        .and_then(|bedrock| bedrock.request_metadata.as_ref());
    let maps = bedrock.into_iter().chain(&request.metadata).flatten();
    let own = maps.map(|(key, value)| (key.as_str(), value.as_str()));
    let identity = [
        ("user", &request.user),
        ("safety_identifier", &request.safety_identifier),
    ];
    let hashed = |value: &'a str| match hash_users {
        true => Cow::Owned(hex::encode(Sha256::digest(value.as_bytes()))),
        false => Cow::Borrowed(value),
    };
    let identity = identity
        .into_iter()
        .filter_map(|(key, value)| Some((key, hashed(value.as_deref()?))));
    let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
    for (key, value) in own
        .map(|(key, value)| (key, Cow::Borrowed(value)))
        .chain(identity)
    {
        if pairs.len() == METADATA_MAX - OWN_METADATA {
            warnings.dropped(
                key.to_owned(),
                "Bedrock takes 16 pairs of request metadata, and two are the gateway's",
            );
            continue;
        }
        let (fit_key, fit_value) = (fitting(Cow::Borrowed(key)), fitting(value.clone()));
        if fit_key != key || fit_value != value {
            warnings
                .add(format!("{fit_key}: cut, or with '_' for characters that Bedrock's request metadata cannot hold"));
        }
        if pairs.iter().all(|(other, _)| *other != fit_key) && !fit_key.starts_with("lintel_") {
            pairs.push((fit_key, fit_value));
        }
    }
    (!pairs.is_empty()).then_some(OrderedMap(pairs))
}

/// Says in Bedrock's invocation log whose request this is. Tells how many bytes that adds, which are no input.
pub fn identify<'a>(
    converse: &mut ConverseRequest<'a>,
    request_id: &'a str,
    key_id: &'a str,
) -> usize {
    let around = if converse.request_metadata.is_some() {
        43
    } else {
        62
    };
    let pairs = &mut converse
        .request_metadata
        .get_or_insert_with(|| OrderedMap(Vec::new()))
        .0;
    pairs.push((Cow::Borrowed(REQUEST_ID), Cow::Borrowed(request_id)));
    pairs.push((
        Cow::Borrowed("lintel_key_id"),
        fitting(Cow::Borrowed(key_id)),
    ));
    around + request_id.len() + key_id.len()
}

/// The service model's pattern: other characters become `_`, what is too long is cut.
fn fitting(text: Cow<'_, str>) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " \t:_@$#=/+,-.".contains(c);
    if text.len() <= METADATA_VALUE_MAX && text.chars().all(allowed) {
        return text;
    }
    text.chars()
        .take(METADATA_VALUE_MAX)
        .map(|c| if allowed(c) { c } else { '_' })
        .collect::<String>()
        .into()
}

pub fn service_tier(request: &Chat) -> Result<Option<ServiceTier>, Error> {
    match request.service_tier.as_deref() {
        None | Some("auto") => Ok(None),
        Some("default") => Ok(Some(ServiceTier::Default)),
        Some("flex") => Ok(Some(ServiceTier::Flex)),
        Some("priority" | "fast") => Ok(Some(ServiceTier::Priority)),
        Some("scale" | "reserved") => Ok(Some(ServiceTier::Reserved)),
        Some(_) => Err(Error::invalid(
            "service_tier",
            "'service_tier' must be 'auto', 'default', 'flex', 'priority' or 'scale'.",
        )),
    }
}
