//! The model as an OpenAI-compatible endpoint sees it: its id, and its facts.

use std::sync::Arc;

use super::{Native, NativeFacts};
use crate::{
    error::Error,
    model::{Endpoints, Facts, Model, NativeTools, Reasoning, ReasoningStyle, Sampling},
    operation::chat::least_output,
};

/// The geographic prefixes of inference profiles.
const GEOGRAPHIES: [&str; 10] = [
    "us", "us-gov", "eu", "apac", "jp", "au", "in", "ca", "sa", "global",
];

/// Returns the id of `model` on the endpoint. bedrock-mantle knows no inference profiles.
///
/// # Errors
/// 400 if the endpoint cannot address the target.
pub fn id(model: &Model, native: &NativeFacts, endpoint: Native) -> Result<String, Error> {
    let target = model.target();
    if target.is_prompt() {
        return Err(unsupported(
            "model",
            "A managed prompt is only available through Converse. Contact the gateway's operator.",
        ));
    }
    if !endpoint.is_mantle() {
        return Ok(target.id.clone());
    }
    if target.id.starts_with("arn:") {
        return Err(unsupported(
            "model",
            "bedrock-mantle serves base models only, and this model is configured as an ARN. Contact the gateway's operator.",
        ));
    }
    let own = native.mantle_id.clone().or_else(|| model.base.clone());
    Ok(own.unwrap_or_else(|| without_geography(&target.id).to_owned()))
}

fn without_geography(id: &str) -> &str {
    match id.split_once('.') {
        Some((first, rest)) if GEOGRAPHIES.contains(&first) => rest,
        _ => id,
    }
}

/// Returns the 400 for something that the endpoint cannot carry.
pub fn unsupported(param: impl Into<String>, text: &'static str) -> Error {
    Error::invalid(param, text).with_code("unsupported_parameter")
}

/// Returns `model` with its facts on the endpoint.
pub fn on_endpoint(model: &Model, native: &NativeFacts, endpoint: Native) -> Model {
    let known = &model.facts;
    let has_items = endpoint.is_responses();
    let style = match native.efforts.is_empty() {
        true => ReasoningStyle::None,
        false if has_items => ReasoningStyle::ReasoningObject,
        false => ReasoningStyle::ReasoningEffort,
    };
    let sampling = match has_items {
        // Only the model's own defaults are accepted.
        true => Sampling::None,
        false => native.sampling,
    };
    let parameter = |is_accepted: bool, name: &str| {
        let has = is_accepted && !has_items;
        has.then(|| name.to_owned())
    };
    let can_disable = native.efforts.is_empty() || native.efforts.iter().any(|one| one == "none");
    // bedrock-mantle separates reasoning from the text.
    let tag = native.runtime_reasoning_tag.clone();
    let facts = Facts {
        tools: native.tools != NativeTools::Never && known.tools,
        tool_choice: native.tool_choice.clone(),
        disable_parallel: false,
        forced_choice_while_reasoning: true,
        web_search: None,
        search_result: false,
        min_output_tokens: least_output(known, endpoint.is_responses()),
        sampling,
        max_temperature: native.max_temperature,
        top_k: None,
        seed: parameter(native.seed, "seed"),
        frequency_penalty: parameter(native.penalties, "frequency_penalty"),
        presence_penalty: parameter(native.penalties, "presence_penalty"),
        stop: native.stop && !has_items,
        max_stop: None,
        stop_pattern: None,
        // The endpoint may refuse `stop`, and then the text is cut all the same.
        stop_in_text: true,
        tells_stop: false,
        // A schema that the endpoint enforces is sent as the client wrote it.
        structured_output: false,
        json_prefill: false,
        reasoning: Reasoning {
            style,
            efforts: native.efforts.clone(),
            cannot_disable: known.reasoning.default_on && !can_disable,
            off: None,
            display: false,
            signed: false,
            redacted: known.reasoning.redacted && has_items,
            inline_tag: tag.filter(|_| endpoint == Native::Runtime),
            ..known.reasoning.clone()
        },
        ..(**known).clone()
    };
    Model {
        facts: Arc::new(facts),
        ..model.clone()
    }
}

/// Reports whether the endpoint enforces a JSON schema for the answer.
pub fn takes_schema(native: &NativeFacts, endpoint: Native) -> bool {
    match native.json_schema {
        _ if endpoint.is_responses() => true,
        Endpoints::None => false,
        Endpoints::Mantle => endpoint.is_mantle(),
        Endpoints::Both => true,
    }
}
