//! Translates sampling parameters, token limits, stop sequences, metadata and the service tier.

use std::borrow::Cow;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Context, reasoning, reasoning::Reasoning, stops::stops};
use crate::{
    bedrock::request::{ConverseRequest, InferenceConfig, OrderedMap, ServiceTier},
    call::{REQUEST_ID, Warnings},
    error::Error,
    model::{Model, Sampling},
    operation::chat::Chat,
};

/// The service's limit on pairs of `requestMetadata`.
const METADATA_MAX: usize = 16;
/// Number of pairs that the gateway adds. They match entries of Bedrock's invocation log with the ledger.
const OWN_METADATA: usize = 2;
/// The service's limit on keys and values of `requestMetadata`, in characters.
const METADATA_VALUE_MAX: usize = 256;

/// The lowest `top_p` that Claude accepts while it reasons.
const THINKING_TOP_P: f64 = 0.95;

/// Returns `inferenceConfig` and the stop sequences to emulate. Adds family-specific parameters to `fields`.
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
        warnings.add("max_tokens: ignored (max_completion_tokens takes precedence)");
    }
    let given = request.requested_tokens();
    let default = || request.default_tokens(model);
    if reasoning.unlimited {
        if given.is_some() {
            warnings.dropped(
                "max_tokens",
                "the model does not support it at this reasoning effort",
            );
        } else {
            warnings.add(
                "max_tokens: not sent, so the length of the answer is not limited (the model does not support it at this reasoning effort)",
            );
        }
        return None;
    }
    if let Some(budget) = reasoning.budget {
        let tokens = clamped(
            given.unwrap_or_else(|| reasoning::max_tokens(budget, model).max(default())),
            given,
            model,
            warnings,
        );
        // What only counts tokens sends no limit.
        if given.is_none() && !request.counts && tokens > default() {
            warnings.add(format!(
                "max_tokens: {tokens} was sent instead of the default (thinking counts toward it)"
            ));
        }
        return Some(tokens);
    }
    Some(clamped(
        given.unwrap_or_else(default),
        given,
        model,
        warnings,
    ))
}

/// Returns the limit of the output in `config` if an answer that it cuts off could be longer: the client sets none, and it is
/// below the model's maximum.
pub fn own_limit(request: &Chat, config: &InferenceConfig<'_>, model: &Model) -> Option<u32> {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let own = config
        .max_tokens
        .filter(|_| request.requested_tokens().is_none());
    own.filter(|limit| *limit < most)
}

fn clamped(tokens: u32, given: Option<u32>, model: &Model, warnings: &Warnings) -> u32 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let within = tokens.min(most).max(model.facts.min_output_tokens);
    // No warning for a default that the client did not set.
    if within != tokens && given.is_some() {
        let bound = if within < tokens {
            "maximum"
        } else {
            "minimum"
        };
        warnings.add(format!(
            "max_tokens: {tokens} was sent as {within} (the model's {bound})"
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
        .map(|given| {
            // OpenAI's range is 0 to 2, Converse's 0 to 1. Not scaled, because that would change common values such as 0.7.
            let most = model.facts.max_temperature;
            if given > most {
                warnings.add(format!(
                    "temperature: {given} was lowered to {most} (the maximum of Bedrock)"
                ));
            }
            given.min(most)
        });
    let mut top_p = request.top_p.or(model.defaults.top_p);
    let is_one = |value: f64| (value - 1.0).abs() < f64::EPSILON;
    let facts = &model.facts;
    let none = match facts.sampling {
        Sampling::None => true,
        Sampling::NoneWhileReasoning => reasoning.enabled,
        Sampling::All | Sampling::OneOf => reasoning.unlimited,
    };
    let drop =
        |param: &'static str, given: Option<f64>, value: &mut Option<f64>, why: &'static str| {
            // No warning for a default of the configuration, nor for 1, which has no effect.
            if let Some(dropped) = value.take()
                && given.is_some()
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
            "the model does not support sampling parameters",
        );
        drop(
            "top_p",
            request.top_p,
            &mut top_p,
            "the model does not support sampling parameters",
        );
    } else if reasoning.enabled && facts.reasoning.signed && !facts.forced_choice_while_reasoning {
        if !temperature.is_some_and(is_one) {
            drop(
                "temperature",
                request.temperature,
                &mut temperature,
                "the model does not support it while reasoning",
            );
        }
        if !top_p.is_some_and(|top_p| top_p >= THINKING_TOP_P) {
            drop(
                "top_p",
                request.top_p,
                &mut top_p,
                "the model does not support values below 0.95 while reasoning",
            );
        }
    }
    if facts.sampling == Sampling::OneOf && temperature.is_some() && top_p.is_some() {
        drop(
            "top_p",
            request.top_p,
            &mut top_p,
            "the model does not support temperature and top_p together",
        );
    }
    (temperature, top_p)
}

/// Adds `top_k`, `seed` and the penalties to `fields`, if the family supports them.
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
    let no_top_k = facts.sampling == Sampling::None || (reasoning.enabled && facts.reasoning.signed)
            // Nova rejects all sampling parameters at the effort `high`.
            || reasoning.unlimited;
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
    // The planner takes no route without them.
    if let Some(alternatives) = request.logprobs.filter(|_| facts.logprobs) {
        fields.insert("logprobs".to_owned(), true.into());
        if alternatives > 0 {
            fields.insert("top_logprobs".to_owned(), alternatives.into());
        }
    }
    for (param, value, place) in members {
        match (value, place) {
            (Some(value), Some(place)) => insert_at(fields, place, value),
            (Some(_), None) => cx
                .warnings
                .dropped(param, "the model has no such parameter"),
            (None, _) => {}
        }
    }
}

/// Inserts `value` at `place`, a path of member names separated by dots.
fn insert_at(fields: &mut Map<String, Value>, place: &str, value: Value) {
    match place.split_once('.') {
        None => {
            fields.insert(place.to_owned(), value);
        }
        Some((member, rest)) => {
            let inner = fields
                .entry(member)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert_at(inner, rest, value);
            }
        }
    }
}

/// Warns about parameters that are accepted but have no effect.
pub fn warn_ignored(request: &Chat, warnings: &Warnings) {
    let ignored = [
        (
            "store",
            request.store == Some(true),
            "this gateway does not store answers",
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
    ];
    for (param, present, why) in ignored {
        if present {
            warnings.dropped(param, why);
        }
    }
}

/// Returns `metadata`, `user` and `safety_identifier` as `requestMetadata`. `hash_users` hashes the last two.
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
    let own = own.map(|(key, value)| (key, Cow::Borrowed(value)));
    let pairs = fit_metadata(own.chain(identity), warnings);
    (!pairs.is_empty()).then_some(OrderedMap(pairs))
}

/// Returns the client's pairs of metadata that Bedrock accepts beside those of [`add_identity`].
pub fn fit_metadata<'a>(
    own: impl Iterator<Item = (&'a str, Cow<'a, str>)>,
    warnings: &Warnings,
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
    for (key, value) in own {
        if pairs.len() == METADATA_MAX - OWN_METADATA {
            warnings.dropped(
                key.to_owned(),
                "Bedrock accepts 16 pairs of request metadata, of which the gateway uses two",
            );
            continue;
        }
        let (fit_key, fit_value) = (sanitized(Cow::Borrowed(key)), sanitized(value.clone()));
        if fit_key != key || fit_value != value {
            warnings
                .add(format!("{fit_key}: cut or sent with '_' for some characters (limits of Bedrock's request metadata)"));
        }
        if pairs.iter().all(|(other, _)| *other != fit_key) && !fit_key.starts_with("lintel_") {
            pairs.push((fit_key, fit_value));
        }
    }
    pairs
}

/// Adds the request id and the key id to `requestMetadata`. Returns the number of bytes that this adds to the body.
pub fn add_identity<'a>(
    converse: &mut ConverseRequest<'a>,
    request_id: &'a str,
    key_id: &'a str,
) -> usize {
    let overhead = if converse.request_metadata.is_some() {
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
        sanitized(Cow::Borrowed(key_id)),
    ));
    overhead + request_id.len() + key_id.len()
}

/// Adapts a text to the service model's pattern for metadata: replaces other characters by `_` and cuts it to 256.
pub fn sanitized(text: Cow<'_, str>) -> Cow<'_, str> {
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

/// Maps `service_tier` to Bedrock's service tiers.
///
/// # Errors
/// 400 if the value is unknown.
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
