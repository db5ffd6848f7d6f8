//! `GET /v1/models` and `GET /v1/models/{model}`: the models that the key may use. For a key that may use raw IDs, these
//! include the models that the AWS account can call.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, Uri},
    response::Response,
};

use serde_json::value::RawValue;

use super::anthropic_models;
use crate::{
    call::{Caller, Route},
    catalogue,
    dispatch::Models,
    edge::{
        Edge, Gateway, anthropic,
        dialect::{Dialect, Messages},
        json,
    },
    error::Error,
    model::{DrawFamily, Facts, LifecycleStatus, Model, ReasoningStyle},
    money::{self, NanoUsd, PicoUsd},
    openai::models::{Lifecycle, LongContext, ModelList, ModelObject, Price},
    operation::chat,
    upstream::DiscoveredModel,
};

/// Lists the models and aliases that the caller may use: configured ones first.
///
/// # Errors
/// 500 if the response cannot be serialized.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Error> {
    let gateway = edge.gateway.load_full();
    let discovered = discovered(&edge, &gateway, &caller).await;
    let mut data: Vec<_> = visible(&edge, gateway.dispatch.models(), &caller).collect();
    data.extend(discovered.iter().map(|(found, model)| {
        let object = object(&edge, &found.id, model, false, &model.use_cases);
        described(object, found, model)
    }));
    match headers.contains_key(anthropic::VERSION) {
        true => json(&anthropic_models::list(&data, &uri)?),
        false => json(&ModelList {
            object: "list",
            data,
        }),
    }
}

/// Returns the models of the AWS account that the caller may use and the gateway has a route to, each with the model that
/// would serve it.
async fn discovered(
    edge: &Edge,
    gateway: &Gateway,
    caller: &Caller,
) -> Vec<(DiscoveredModel, Arc<Model>)> {
    let models = gateway.dispatch.models();
    let (Some(discovery), Some(_)) = (&edge.discovery, models.raw()) else {
        return Vec::new();
    };
    if !caller.may_use_raw_ids() {
        return Vec::new();
    }
    let mut usable = Vec::new();
    for found in discovery.models().await.iter() {
        if models.resolve(&found.id).is_ok() || !caller.may_use(&found.id, true) {
            continue;
        }
        let resolved = gateway
            .dispatch
            .resolve_listed(&found.id, found.base.as_deref(), caller);
        let Ok(model) = resolved.await else { continue };
        if !routes(&model).is_empty() && answers(found, &model) {
            usable.push((found.clone(), model));
        }
    }
    usable
}

/// Reports whether the gateway can return what the model produces. The catalog knows it of its own models.
fn answers(found: &DiscoveredModel, model: &Model) -> bool {
    model.base.is_some() || found.output.is_empty() || found.output.iter().any(|one| one == "text")
}

/// Returns one model, by its configured name, its alias or its raw Bedrock ID.
///
/// # Errors
/// 400 if the name is not UTF-8; 404 or 403 as in [`crate::dispatch::Dispatch::resolve_for`].
pub async fn retrieve(
    State(edge): State<Arc<Edge>>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let write = |object: &ModelObject<'_>| match headers.contains_key(anthropic::VERSION) {
        true => json(&anthropic_models::info(object)),
        false => json(object),
    };
    let Path(name) = name
        .map_err(|_| Error::invalid("model", "The model name in the path is not valid UTF-8."))?;
    let gateway = edge.gateway.load_full();
    let models = gateway.dispatch.models();
    // Clients of Anthropic's API know the models by other names.
    let known = match headers.contains_key(anthropic::VERSION) {
        true => Messages::model_name(name.clone(), models, &caller),
        false => name.clone(),
    };
    let found = visible(&edge, models, &caller).find(|model| model.id == known);
    match found {
        Some(model) => write(&model),
        None => {
            let model = match gateway.dispatch.resolve_for(&known, &caller).await {
                // The error names the model as the client does.
                Err(_) if known != name => gateway.dispatch.resolve_for(&name, &caller).await?,
                found => found?,
            };
            let model = model.model().clone();
            let object = object(&edge, &known, &model, false, &model.use_cases);
            let found = edge.discovery.as_ref().and_then(|all| all.find(&known));
            match &found {
                Some(found) => write(&described(object, found, &model)),
                None => write(&object),
            }
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
        default_max_tokens: chats.then(|| model.default_max_tokens()),
        context_window: model.facts.context_window,
        max_output_tokens: model.facts.max_output_tokens,
        modality: &model.facts.modality,
        input_modalities: input_modalities(&model.facts),
        output_modalities: output_modalities(&model.facts),
        routes: routes(model),
        profile: catalogue::parse_reference(&model.target().id).prefix,
        base_model: model.base.as_deref(),
        name: None,
        source: None,
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

/// Adds what AWS lists about a model: all of it for one that the catalog does not know, and its lifecycle, which AWS may
/// have changed since.
fn described<'a>(
    object: ModelObject<'a>,
    found: &'a DiscoveredModel,
    model: &'a Model,
) -> ModelObject<'a> {
    let own = &model.facts.lifecycle;
    let is_legacy = found.is_legacy && own.status == LifecycleStatus::Active;
    let status = match is_legacy {
        true => LifecycleStatus::Legacy,
        false => own.status,
    };
    let mut object = ModelObject {
        name: found.name.as_deref(),
        source: Some(found.origin.as_str()),
        lifecycle: Lifecycle {
            status: status.as_str(),
            eol: found.eol.as_deref().or(own.eol.as_deref()),
            successor: own.successor.as_deref(),
        },
        ..object
    };
    if model.base.is_none() && !found.output.is_empty() {
        object.input_modalities = found.input.iter().map(String::as_str).collect();
        object.output_modalities = found.output.iter().map(String::as_str).collect();
    }
    object
}

/// Returns the APIs of Bedrock through which the gateway reaches the model.
fn routes(model: &Model) -> Vec<&'static str> {
    let facts = &model.facts;
    if facts.rerank.is_some() {
        return vec![Route::Rerank.as_str(), Route::Invoke.as_str()];
    }
    if facts.embed.is_some() || facts.draw.is_some() {
        return vec![Route::Invoke.as_str()];
    }
    let explanation = chat::route::explain(None, model, &Caller::default());
    let usable = |one: &&chat::route::RouteExplanation| one.strike.is_none();
    match explanation.choice {
        Ok(_) => explanation
            .routes
            .iter()
            .filter(usable)
            .map(|one| one.route.as_str())
            .collect(),
        Err(_) => Vec::new(),
    }
}

fn output_modalities(facts: &Facts) -> Vec<&str> {
    match facts.modality.as_str() {
        "chat" | "video_to_text" => vec!["text"],
        "image_edit" => vec!["image"],
        other => vec![other],
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
