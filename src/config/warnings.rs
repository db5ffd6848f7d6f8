//! Warnings about a valid configuration: settings that will not work, or not as they look.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use wildmatch::WildMatch;

use super::Config;
use crate::{
    call::{Caller, KnowledgeBase, Rerank, RerankModel, Route},
    catalogue,
    dispatch::ModelListing,
    edge::Key,
    model::{DefaultMaxTokens, Guardrail, Model},
    operation::chat::route,
};

/// The warnings, one line each, each beginning with the setting that it is about.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut all = Vec::new();
    if config.admin.is_exposed() {
        all.push(format!(
            "admin.listen: other machines can reach {} without TLS (admin.allow_plaintext is true): anyone who does can \
             read the metrics, and the admin token crosses the network unencrypted",
            config.admin.listen
        ));
    }
    let models = config.models.named().flat_map(|model| {
        of_model(model)
            .into_iter()
            .map(|text| format!("models.{}: {} {text}", model.name, model.target().id))
    });
    all.extend(models);
    let unused = unused_regions(config);
    all.extend(unused.map(|region| {
        format!("aws.regions.{region}: has no effect, because no model and no knowledge base is called there")
    }));
    all.extend(of_attribution(config).map(|text| format!("aws.attribution: {text}")));
    if config.models.list().next().is_none() && config.keys.is_empty() {
        all.push(
            "models: no model is configured, so a key can use only the Bedrock ids that its globs match, such as \
             `lintel keys create --models \"us.anthropic.*\"`"
                .to_owned(),
        );
    }
    all.extend(config.keys.iter().flat_map(|key| of_key(key, config)));
    all.extend(
        config
            .knowledge_bases
            .iter()
            .flat_map(|base| of_knowledge_base(base, config)),
    );
    all
}

/// The regions that have URLs of their own and that nothing calls.
fn unused_regions(config: &Config) -> impl Iterator<Item = &String> {
    let models = config.models.named().chain(config.models.built_in());
    let models = models.chain(config.models.raw());
    let targets = models.flat_map(|model| model.targets.iter().map(|target| &**target));
    let bases = config.knowledge_bases.iter().map(|base| &*base.target);
    let called = targets.chain(bases).map(|target| target.region.as_str());
    let called: BTreeSet<&str> = called.chain([config.aws.region.as_str()]).collect();
    let own: BTreeSet<&String> = config.aws.settings.regional_endpoints.keys().collect();
    own.into_iter()
        .filter(move |region| !called.contains(region.as_str()))
}

/// The warning that calls of the gateway's own account carry no session tags.
fn of_attribution(config: &Config) -> Option<&'static str> {
    let aws = &config.aws.settings;
    let is_own = |model: &Arc<Model>| model.targets.iter().any(|target| target.account.is_none());
    let is_used = config.models.raw().is_some() || config.models.named().any(is_own);
    if !aws.session_tags || !is_used {
        None
    } else if aws.api_key.is_some() {
        Some("calls with the Bedrock API key (AWS_BEARER_TOKEN_BEDROCK) carry no session tags")
    } else if aws.assume_role.is_none() {
        Some(
            "calls of the gateway's own account carry no session tags without aws.assume_role, because its credentials are \
             used as they are",
        )
    } else {
        None
    }
}

fn of_key(key: &Key, config: &Config) -> Vec<String> {
    let at = |text: &str| format!("keys.{}: {text}", key.caller.key_id);
    let mut all = Vec::new();
    if key
        .expires
        .is_some_and(|expires| expires <= SystemTime::now())
    {
        all.push(at("has expired"));
    }
    let usable = |listed: ModelListing<'_>| key.caller.may_use(&listed.model.name, false);
    if !config.models.list().any(usable) {
        let globs = key.caller.models.as_deref();
        let raw = config.models.raw().is_some();
        match globs {
            _ if raw && key.caller.raw => {}
            None => all.push(at("has no `models`, and no model is configured, so it can use none; give it globs over \
                                 Bedrock ids, such as [\"us.anthropic.*\"]")),
            Some(_) if raw && !key.caller.may_use_raw_ids() => all.push(at("its globs include Bedrock ids only with \
                 `raw = true`, and no model is configured, so it can use none")),
            Some(globs) if raw && globs.iter().any(matches_bedrock_id) => {}
            Some(_) if raw => all.push(at("its globs match no configured model and no known Bedrock id")),
            Some(_) => all.push(at("its globs match no configured model")),
        }
    }
    if key.caller.raw && config.models.raw().is_none() {
        all.push(at(
            "raw has no effect, because defaults.raw_model_ids is false",
        ));
    }
    if let Some(guardrail) = &key.caller.guardrail {
        let usable = config
            .models
            .named()
            .filter(|model| key.caller.may_use(&model.name, false));
        let about = usable.flat_map(|model| {
            let name = &model.name;
            let all = of_guardrail(guardrail, model).into_iter();
            all.map(move |text| format!("models.{name}, with this key, {text}"))
        });
        all.extend(about.map(|text| at(&text)));
    }
    for glob in &key.caller.knowledge_bases {
        if !config
            .knowledge_bases
            .iter()
            .any(|base| glob.matches(&base.name))
        {
            all.push(at(&format!("there is no knowledge base '{glob}'")));
        }
    }
    all
}

/// The glob matches a model of the catalogue, with or without the prefix of a profile, or could match an ARN.
fn matches_bedrock_id(glob: &WildMatch) -> bool {
    let text = glob.to_string();
    let prefix = catalogue::parse_reference(&text).prefix.unwrap_or("us");
    text.starts_with("arn:")
        || catalogue::ids().any(|id| glob.matches(id) || glob.matches(&format!("{prefix}.{id}")))
}

fn of_knowledge_base(base: &KnowledgeBase, config: &Config) -> Vec<String> {
    let at = |text: &str| format!("knowledge_bases.{}: {text}", base.name);
    let mut all = Vec::new();
    if config.aws.settings.api_key.is_some() {
        all.push(at("a Bedrock API key (AWS_BEARER_TOKEN_BEDROCK) does not work for Knowledge Bases; AWS credentials are needed too"));
    }
    if base.implicit_filter.is_some() {
        all.push(at("with implicit_filter, AWS calls a model whose cost it does not report, so the ledger does not include it"));
    }
    if let Rerank::Model(RerankModel {
        id, price: None, ..
    }) = &base.rerank
    {
        all.push(at(&format!(
            "{id} has no known price, so every budget rejects it; set rerank.query_price"
        )));
    }
    all
}

/// The warnings about a guardrail for calls of `model`.
fn of_guardrail(guardrail: &Guardrail, model: &Model) -> Vec<String> {
    let mut all = Vec::new();
    let region = guardrail.identifier.split(':').nth(3);
    let own = model.target().region.as_str();
    if let Some(region) = region.filter(|region| *region != own) {
        all.push(format!(
            "is in {own}, and its guardrail in {region}; a guardrail works only in its own region"
        ));
    }
    if guardrail.apply.is_none() && !model.targets.places.is_empty() {
        all.push(format!(
            "has a guardrail in its calls, which exists in one region only, so these calls stay in {own}; set guardrail.apply to use its other regions"
        ));
    }
    if guardrail.show_trace
        && guardrail
            .trace
            .as_deref()
            .is_none_or(|one| one == "disabled")
    {
        let text = "has no guardrail.trace, so guardrail.show_trace has no effect";
        all.push(text.to_owned());
    }
    all
}

fn of_model(model: &Model) -> Vec<String> {
    let facts = &model.facts;
    let mut all = Vec::new();
    all.extend(facts.lifecycle.warning());
    if model.base.is_none() && model.target().id.starts_with("arn:") {
        all.push(
            "does not reveal its model, so lintel asks AWS at the first call; set base_model to avoid that"
                .to_owned(),
        );
    } else if model.base.is_none() {
        all.push(
            "is not in the catalogue; check the spelling, or set base_model, or facts and price"
                .to_owned(),
        );
    } else if facts.modality != "chat" && !facts.is_not_for_chats() {
        all.push(format!(
            "is for {}, and this gateway does not serve it",
            facts.modality.replace('_', " ")
        ));
    } else if !facts.is_not_for_chats()
        && let Err(error) = route::explain(None, model, &Caller::default()).choice
    {
        all.push(format!("is not served: {error}"));
    } else if model.price.is_none() {
        all.push(
            "has no known price, so reports show its calls without cost; set price".to_owned(),
        );
    }
    let is_unguarded = |guardrail: &Guardrail| guardrail.apply.is_none();
    if facts.embed.is_some() && model.options.guardrail.as_ref().is_some_and(is_unguarded) {
        let text =
            "produces embeddings, whose calls carry no guardrail; set guardrail.apply to \"input\"";
        all.push(text.to_owned());
    }
    let own = model.options.guardrail.as_ref();
    all.extend(own.into_iter().flat_map(|one| of_guardrail(one, model)));
    all.extend(of_profile(model));
    let (target, residency) = (model.target(), model.options.residency);
    all.extend(catalogue::within_residency(&target.id, &target.region, residency).err());
    let others = model.targets.places.iter().map(|place| place.target());
    let others = others.filter(|other| other.id != model.target().id);
    all.extend(others.map(|other| format!("is called as {} in {}", other.id, other.region)));
    if let DefaultMaxTokens::Fixed(tokens) = model.defaults.max_tokens
        && let Some(most) = facts.max_output_tokens.filter(|most| tokens > *most)
    {
        all.push(format!(
            "generates at most {most} tokens, so max_tokens is lowered to that"
        ));
    }
    all
}

fn of_profile(model: &Model) -> Option<String> {
    let facts = &model.facts;
    let is_bare = !model.target().id.starts_with("arn:")
        && model.base.as_deref() == Some(model.target().id.as_str());
    if !facts.needs_profile || !is_bare {
        return None;
    }
    let why = "is available only through an inference profile";
    Some(match catalogue::profile_of(model, Route::Converse) {
        Some(profile) => format!("{why}, so it is called as {}", profile.id),
        None => {
            let profiles = facts.profiles.iter().map(|prefix| format!("{prefix}."));
            let profiles = profiles.collect::<Vec<_>>().join(", ");
            format!(
                "{why}, and none fits its region and aws.residency; prefix the id with one of {profiles}"
            )
        }
    })
}
