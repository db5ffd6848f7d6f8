//! `[knowledge_bases.*]`

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{models::Defaults, options, reader::Section};
use crate::{
    call::{
        Caps, KnowledgeBase, KnowledgeBaseKind, MAX_CONTEXT, MAX_RESULTS, OnError, Rerank,
        RerankModel, SearchType,
    },
    catalogue,
    dispatch::Models,
    knowledge::{KnowledgeBases, filter, prompt},
    model::{Model, Target},
    money::NanoUsd,
};

/// The service model's limit on `metadataAttributes`.
const MAX_ATTRIBUTES: usize = 25;

/// The number of images that a model accepts in one request.
const MOST_IMAGES: u32 = 20;

pub fn knowledge_bases(
    sections: Vec<(String, Section<'_>)>,
    defaults: &Defaults,
    region: &str,
    models: &Models,
) -> KnowledgeBases {
    let read = |(name, section)| knowledge_base(name, section, defaults, region, models);
    KnowledgeBases::new(sections.into_iter().filter_map(read))
}

fn knowledge_base(
    name: String,
    mut section: Section<'_>,
    defaults: &Defaults,
    region: &str,
    models: &Models,
) -> Option<KnowledgeBase> {
    let id = section.string("id");
    match &id {
        None if !section.was_given("id") => {
            section.problem("'id' is missing: the id or ARN of a Knowledge Base")
        }
        Some(id) if !is_id(id) => {
            section.problem_at(
                "id",
                format!("'{id}' is neither the id of a Knowledge Base (ten letters or digits) nor an ARN"),
            );
        }
        _ => {}
    }
    let own_region = section.string("region");
    let target = Target::new(
        id.unwrap_or_default(),
        own_region.as_deref().unwrap_or(region),
    );
    if own_region.as_ref().is_some_and(|own| *own != target.region) {
        section.problem_at(
            "region",
            format!(
                "must be {}, the region of the ARN; remove it",
                target.region
            ),
        );
    }
    section.or_default("region", own_region, target.region.clone());
    let kind = section.choice("type", &KnowledgeBaseKind::ALL, KnowledgeBaseKind::Vector);
    let default_search = if kind == KnowledgeBaseKind::Managed {
        SearchType::Auto
    } else {
        SearchType::Hybrid
    };
    let search_type = section.choice("search", &SearchType::ALL, default_search);
    if kind == KnowledgeBaseKind::Managed && search_type != SearchType::Auto {
        section.problem_at(
            "search",
            "a managed Knowledge Base chooses the kind of search itself; remove it",
        );
    }
    let guardrail = guardrail(&mut section);
    let defaulted = KnowledgeBase::new(name, target.clone(), template(&mut section));
    let base = KnowledgeBase {
        description: section.string("description"),
        kind,
        search_type,
        max_results: bounded_or(
            &mut section,
            "max_results",
            MAX_RESULTS,
            defaulted.max_results,
        ),
        min_score: min_score(&mut section, defaulted.min_score),
        max_context_chars: bounded_or(
            &mut section,
            "max_context_chars",
            MAX_CONTEXT,
            defaulted.max_context_chars,
        ),
        max_context_tokens: bounded(&mut section, "max_context_tokens", MAX_CONTEXT),
        max_images: images(&mut section, defaulted.max_images),
        image_query: section.boolean("image_query", defaulted.image_query),
        caps: caps(&mut section),
        on_error: section.choice("on_error", &OnError::ALL, defaulted.on_error),
        filter: filter(&mut section, "filter"),
        implicit_filter: implicit_filter(&mut section, &target, kind),
        user_context: section.boolean("user_context", defaulted.user_context),
        guardrail,
        rerank: rerank(&mut section, kind),
        condense_with: condense_with(&mut section, models),
        timeout: section.duration_or("timeout", defaulted.timeout),
        retry: options::retry(&mut section, defaults.retry),
        ..defaulted
    };
    section.finish();
    Some(base)
}

/// Identifier and version: a search has no other guardrail settings.
fn guardrail(section: &mut Section<'_>) -> Option<(String, String)> {
    let mut section = section
        .has("guardrail")
        .then(|| section.section("guardrail"))?;
    let both = options::guardrail_id(&mut section);
    section.finish();
    both
}

/// `caps = { max_results, max_context_chars, max_context_tokens, min_score }`
fn caps(section: &mut Section<'_>) -> Caps {
    let mut section = section.section("caps");
    let caps = Caps {
        max_results: bounded(&mut section, "max_results", MAX_RESULTS),
        max_context_chars: bounded(&mut section, "max_context_chars", MAX_CONTEXT),
        max_context_tokens: bounded(&mut section, "max_context_tokens", MAX_CONTEXT),
        min_score: section.number("min_score", 0.0, 1.0),
    };
    section.finish();
    caps
}

/// Matches the service model's `KnowledgeBaseIdentifier`.
fn is_id(id: &str) -> bool {
    let plain = |id: &str| id.len() == 10 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let of_arn = id
        .strip_prefix("arn:aws")
        .and_then(|arn| arn.split_once(":knowledge-base/"));
    plain(id)
        || of_arn.is_some_and(|(arn, id)| plain(id) && arn.split(':').nth(1) == Some("bedrock"))
}

fn bounded(section: &mut Section<'_>, key: &'static str, max: u32) -> Option<u32> {
    section
        .count(key, max.into())
        .and_then(|count| u32::try_from(count).ok())
}

fn bounded_or(section: &mut Section<'_>, key: &'static str, max: u32, default: u32) -> u32 {
    let given = bounded(section, key, max);
    section.or_default(key, given, default)
}

fn min_score(section: &mut Section<'_>, default: f64) -> f64 {
    let given = section.number("min_score", 0.0, 1.0);
    section.or_default("min_score", given, default)
}

/// The number of images, which may be 0.
fn images(section: &mut Section<'_>, default: u32) -> u32 {
    let images = section.number("max_images", 0.0, f64::from(MOST_IMAGES));
    let whole =
        (0..=MOST_IMAGES).find(|count| images.is_some_and(|images| f64::from(*count) == images));
    if images.is_some() && whole.is_none() {
        section.problem_at("max_images", "must be a whole number");
    }
    section.or_default("max_images", whole, default)
}

fn condense_with(section: &mut Section<'_>, models: &Models) -> Option<Arc<Model>> {
    let name = section.string("condense_with")?;
    let found = models
        .list()
        .find(|listed| listed.name == name)
        .map(|listed| listed.model.clone());
    if found.is_none() {
        section.problem_at("condense_with", format!("there is no [models.{name}]"));
    }
    found
}

/// A metadata filter, in Bedrock's form or OpenAI's.
pub fn filter(section: &mut Section<'_>, key: &'static str) -> Option<Value> {
    let given = section.json(key)?;
    match filter::parse(&given) {
        Ok(filter) => Some(filter),
        Err(filter::FilterError { at, message }) => {
            let at = at.trim_start_matches('.');
            section.problem_at(
                key,
                if at.is_empty() {
                    message
                } else {
                    format!("{at}: {message}")
                },
            );
            None
        }
    }
}

/// `implicit_filter = { model, attributes = [{ key, type, description }] }`
fn implicit_filter(
    section: &mut Section<'_>,
    target: &Target,
    kind: KnowledgeBaseKind,
) -> Option<Value> {
    let mut section = section
        .has("implicit_filter")
        .then(|| section.section("implicit_filter"))?;
    if kind == KnowledgeBaseKind::Managed {
        section.problem("a managed Knowledge Base does not support implicit filters; remove it");
    }
    let model = section.string("model");
    let mut attributes = Vec::new();
    for mut attribute in section.tables("attributes") {
        let (key, description) = (attribute.string("key"), attribute.string("description"));
        let types = ["STRING", "NUMBER", "BOOLEAN", "STRING_LIST"].map(|kind| (kind, Some(kind)));
        let kind = attribute.choice("type", &types, None);
        match (key, kind, description) {
            (Some(key), Some(kind), Some(description)) => {
                attributes.push(json!({"key": key, "type": kind, "description": description}));
            }
            _ if ["key", "type", "description"]
                .iter()
                .all(|key| attribute.was_given(key)) => {}
            _ => attribute.problem("needs 'key', 'type' and 'description'"),
        }
        attribute.finish();
    }
    if model.is_none() || attributes.is_empty() || attributes.len() > MAX_ATTRIBUTES {
        section.problem(format!(
            "needs 'model' and 1 to {MAX_ATTRIBUTES} 'attributes'"
        ));
    }
    section.finish();
    Some(json!({"modelArn": target.model_arn(&model?), "metadataAttributes": attributes}))
}

/// The id of a reranking model, a table, or "none"; for a managed Knowledge Base also "managed".
fn rerank(section: &mut Section<'_>, kind: KnowledgeBaseKind) -> Rerank {
    if !section.has("rerank") {
        return Rerank::Default;
    }
    if section.is_table("rerank") {
        return rerank_model(section.section("rerank")).map_or(Rerank::Default, Rerank::Model);
    }
    match section.string("rerank").as_deref() {
        None => Rerank::Default,
        Some("none") => Rerank::Never,
        Some("managed") if kind == KnowledgeBaseKind::Managed => Rerank::Managed,
        Some(id) if is_model(id) => Rerank::Model(RerankModel {
            id: id.to_owned(),
            price: catalogue::query_price(id),
            ..RerankModel::default()
        }),
        Some(other) => {
            section.problem_at(
                "rerank",
                format!("'{other}' is not the id of a reranking model"),
            );
            Rerank::Default
        }
    }
}

/// `vendor.name`, or an ARN.
fn is_model(id: &str) -> bool {
    id.contains('.') || id.starts_with("arn:")
}

fn rerank_model(mut section: Section<'_>) -> Option<RerankModel> {
    let id = section.string("model");
    match &id {
        None if !section.was_given("model") => section.problem("needs 'model'"),
        Some(other) if !is_model(other) => {
            section.problem_at(
                "model",
                format!("'{other}' is not the id of a reranking model"),
            );
        }
        _ => {}
    }
    let (include, exclude) = (
        section.strings("include_metadata"),
        section.strings("exclude_metadata"),
    );
    if include.is_some() && exclude.is_some() {
        section.problem_at(
            "exclude_metadata",
            "cannot be combined with include_metadata; remove one of them",
        );
    }
    if include.as_ref().is_some_and(Vec::is_empty) {
        section.problem_at(
            "include_metadata",
            "is empty; to include all metadata, set exclude_metadata = []",
        );
    }
    let fields = |names: Vec<String>| {
        names
            .into_iter()
            .map(|name| json!({"fieldName": name}))
            .collect::<Vec<_>>()
    };
    let selected = |member: &str, names| json!({"selectionMode": "SELECTIVE", "selectiveModeConfiguration": {member: fields(names)}});
    let metadata = match (include, exclude) {
        (Some(names), _) => Some(selected("fieldsToInclude", names)),
        (None, Some(names)) if names.is_empty() => Some(json!({"selectionMode": "ALL"})),
        (None, Some(names)) => Some(selected("fieldsToExclude", names)),
        (None, None) => None,
    };
    let candidates = bounded(&mut section, "candidates", MAX_RESULTS);
    let price = section.decimal(
        "query_price",
        "an amount of US dollars for one query, with at most nine decimal places",
        NanoUsd::parse,
    );
    let fields = section
        .json("additional_model_request_fields")
        .map(|fields| match fields {
            Value::Object(fields) => fields,
            // `json` returns tables only.
            _ => Map::new(),
        });
    section.finish();
    let id = id?;
    let price = price.or_else(|| catalogue::query_price(&id));
    Some(RerankModel {
        id,
        candidates,
        metadata,
        fields,
        price,
    })
}

fn template(section: &mut Section<'_>) -> Arc<str> {
    let Some(path) = section.string("prompt_file") else {
        return prompt::TEMPLATE.into();
    };
    match std::fs::read_to_string(&path) {
        Ok(text) if text.matches(prompt::PLACEHOLDER).count() == 1 => text.trim_end().into(),
        Ok(_) => {
            section.problem_at(
                "prompt_file",
                format!("{path} must contain {} exactly once", prompt::PLACEHOLDER),
            );
            prompt::TEMPLATE.into()
        }
        Err(error) => {
            let place =
                std::path::absolute(&path).map_or(path, |place| place.display().to_string());
            section.problem_at("prompt_file", format!("cannot read {place}: {error}"));
            prompt::TEMPLATE.into()
        }
    }
}
