//! `GET /v1/models` and `GET /v1/models/{model}`: the models that the key may use.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};

use serde_json::value::RawValue;

use crate::{
    call::Caller,
    catalogue,
    dispatch::Models,
    edge::{Edge, json},
    error::Error,
    model::{DrawFamily, Facts, Model, ReasoningStyle},
    money::{self, NanoUsd, PicoUsd},
    openai::models::{Lifecycle, LongContext, ModelList, ModelObject, Price},
};

/// Lists the models and aliases that the caller may use.
///
/// # Errors
/// 500 if the response cannot be serialized.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, Error> {
    let gateway = edge.gateway.load();
    json(&ModelList {
        object: "list",
        data: visible(&edge, gateway.dispatch.models(), &caller).collect(),
    })
}

/// Returns one model, by its configured name, its alias or its raw Bedrock ID.
///
/// # Errors
/// 400 if the name is not UTF-8; 404 or 403 as in [`crate::dispatch::Dispatch::resolve_for`].
pub async fn retrieve(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let Path(name) = name
        .map_err(|_| Error::invalid("model", "The model name in the path is not valid UTF-8."))?;
    let gateway = edge.gateway.load_full();
    let models = gateway.dispatch.models();
    let found = visible(&edge, models, &caller).find(|model| model.id == name);
    match found {
        Some(model) => json(&model),
        None => {
            let model = gateway.dispatch.resolve_for(&name, &caller).await?.model;
            json(&object(&edge, &name, &model, false, &model.use_cases))
        }
    }
}

fn visible<'a>(
    edge: &'a Edge,
    models: &'a Models,
    caller: &'a Caller,
) -> impl Iterator<Item = ModelObject<'a>> {
    models
        .list()
        .filter(|listed| caller.may_use(&listed.model.name, false))
        .map(|listed| {
            object(
                edge,
                listed.name,
                listed.model,
                listed.alias,
                listed.use_cases,
            )
        })
}

fn object<'a>(
    edge: &Edge,
    id: &'a str,
    model: &'a Model,
    alias: bool,
    use_cases: &'a [String],
) -> ModelObject<'a> {
    let embed = model.facts.embed.as_ref();
    let chats = embed.is_none() && model.facts.rerank.is_none() && model.facts.draw.is_none();
    ModelObject {
        id,
        object: "model",
        created: edge.created,
        owned_by: vendor(&model.target().id),
        target: model.target().shown(),
        alias_of: alias.then_some(model.name.as_str()),
        description: model.description.as_deref(),
        use_cases,
        default_max_tokens: chats.then_some(model.defaults.max_tokens),
        context_window: model.facts.context_window,
        max_output_tokens: model.facts.max_output_tokens,
        modality: &model.facts.modality,
        input_modalities: input_modalities(&model.facts),
        embedding_dimensions: embed.map(|embed| embed.dimensions.as_slice()),
        tools: model.facts.tools && chats,
        web_search: model.facts.web_search.is_some(),
        reasoning: model.facts.reasoning.style != ReasoningStyle::None
            || model.facts.reasoning.default_on,
        price: model.price.as_deref().and_then(price),
        lifecycle: Lifecycle {
            status: model.facts.lifecycle.status.as_str(),
            eol: model.facts.lifecycle.eol.as_deref(),
            successor: model.facts.lifecycle.successor.as_deref(),
        },
    }
}

fn input_modalities(facts: &Facts) -> Vec<&'static str> {
    if let Some(embed) = &facts.embed {
        let image = embed.family.takes_images().then_some("image");
        return std::iter::once("text").chain(image).collect();
    }
    if facts.rerank.is_some() {
        return vec!["text"];
    }
    if let Some(draw) = &facts.draw {
        let edits = draw.family != DrawFamily::StabilityGenerate;
        let image = edits.then_some("image");
        return std::iter::once("text").chain(image).collect();
    }
    let all = [
        ("text", true),
        ("image", facts.image),
        ("file", facts.document),
        ("video", facts.video),
        ("audio", facts.audio),
    ];
    all.into_iter()
        .filter(|(_, supported)| *supported)
        .map(|(modality, _)| modality)
        .collect()
}

fn price(price: &money::Price) -> Option<Price> {
    let usd =
        |price: Option<NanoUsd>| price.and_then(|usd| RawValue::from_string(usd.to_string()).ok());
    let exact = |price: PicoUsd| RawValue::from_string(price.to_string()).ok();
    Some(Price {
        query: usd(price.query),
        output_image: usd(price.output_image),
        input: exact(price.input)?,
        output: exact(price.output)?,
        cache_read: price.cache_read.and_then(exact),
        cache_write: price.cache_write.and_then(exact),
        cache_write_1h: price.cache_write_1h.and_then(exact),
        long_context: price
            .long_context
            .iter()
            .map(|long| LongContext {
                above_input_tokens: long.above_input_tokens,
                input: long.input.and_then(exact),
                output: long.output.and_then(exact),
            })
            .collect(),
    })
}

/// Returns the vendor part of a Bedrock ID: `anthropic` for `us.anthropic.claude-…` and `anthropic.claude-…`. Returns
/// `bedrock` for resources whose ID does not name a vendor.
fn vendor(target: &str) -> &str {
    let id = target.rsplit('/').next().unwrap_or(target);
    let base = catalogue::parse_reference(id).base;
    base.and_then(|base| base.split_once('.'))
        .map_or("bedrock", |(vendor, _)| vendor)
}

#[cfg(test)]
mod tests {
    use super::vendor;

    #[test]
    fn vendor_is_read_from_ids_with_and_without_geo_prefix() {
        assert_eq!(
            vendor("anthropic.claude-3-haiku-20240307-v1:0"),
            "anthropic"
        );
        assert_eq!(
            vendor("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            "anthropic"
        );
        assert_eq!(vendor("openai.gpt-oss-120b-1:0"), "openai");
        // Names of models may contain dots too.
        assert_eq!(vendor("openai.gpt-5.4"), "openai");
        assert_eq!(vendor("us.zai.glm-4.7"), "zai");
        assert_eq!(vendor("xai.grok-4.3"), "xai");
        assert_eq!(
            vendor("arn:aws:bedrock:us-east-1:1:inference-profile/global.amazon.nova-2-lite-v1:0"),
            "amazon"
        );
        assert_eq!(
            vendor("arn:aws:bedrock:us-east-1:1:imported-model/abc"),
            "bedrock"
        );
    }
}
