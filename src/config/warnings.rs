//! What an operator should know of a configuration that is correct: what will not work, or not as it looks.

use std::time::SystemTime;

use super::Config;
use crate::{
    call::{KnowledgeBase, Model, Rerank, RerankModel},
    dispatch::Listed,
};

/// One line each, with the place that it is about.
pub fn warnings(config: &Config) -> Vec<String> {
    let models = config.models.named().flat_map(|model| {
        of_model(model)
            .into_iter()
            .map(|text| format!("models.{}: {} {text}", model.name, model.target.id))
    });
    let mut all: Vec<String> = models.collect();
    for key in &config.keys {
        let name = &key.caller.key_id;
        if key
            .expires
            .is_some_and(|expires| expires <= SystemTime::now())
        {
            all.push(format!("keys.{name}: has expired"));
        }
        let usable = |listed: Listed<'_>| key.caller.may_use(&listed.model.name, false);
        if key.caller.models.is_some() && !config.models.list().any(usable) {
            all.push(format!("keys.{name}: its globs match no configured model"));
        }
        for glob in &key.caller.knowledge_bases {
            if !config
                .knowledge_bases
                .iter()
                .any(|base| glob.matches(&base.name))
            {
                all.push(format!("keys.{name}: there is no knowledge base '{glob}'"));
            }
        }
    }
    all.extend(
        config
            .knowledge_bases
            .iter()
            .flat_map(|base| of_knowledge_base(base, config)),
    );
    all
}

fn of_knowledge_base(base: &KnowledgeBase, config: &Config) -> Vec<String> {
    let at = |text: &str| format!("knowledge_bases.{}: {text}", base.name);
    let mut all = Vec::new();
    if config.aws.has_api_key {
        all.push(at("a Bedrock API key (AWS_BEARER_TOKEN_BEDROCK) does not work here: AWS credentials are needed too"));
    }
    if base.implicit_filter.is_some() {
        all.push(at("its implicit filter has AWS call a model whose cost no reply tells: the ledger does not have it"));
    }
    if let Rerank::Model(RerankModel {
        id, price: None, ..
    }) = &base.rerank
    {
        all.push(at(&format!(
            "{id} has no known price: set rerank.query_price, or no budget can allow it"
        )));
    }
    all
}

fn of_model(model: &Model) -> Vec<String> {
    let facts = &model.facts;
    let mut all = Vec::new();
    all.extend(facts.lifecycle.warning());
    if model.base.is_none() && model.target.id.starts_with("arn:") {
        all.push(
            "does not tell its model: AWS is asked for it at the first call; name its base_model to know it at once"
                .to_owned(),
        );
    } else if model.base.is_none() {
        all.push(
            "is not in the catalogue: mistyped, or name its base_model, or its facts and price"
                .to_owned(),
        );
    } else if facts.modality != "chat" {
        all.push(format!(
            "is for {}, not for chat",
            facts.modality.replace('_', " ")
        ));
    } else if !facts.converse {
        all.push("is not served by Converse".to_owned());
    } else if model.price.is_none() {
        all.push("has no known price: its calls cost nothing in reports".to_owned());
    }
    let bare = !model.target.id.starts_with("arn:")
        && model.base.as_deref() == Some(model.target.id.as_str());
    if facts.needs_profile && bare {
        let profiles = facts.profiles.iter().map(|prefix| format!("{prefix}."));
        let profiles = profiles.collect::<Vec<_>>().join(", ");
        all.push(format!(
            "answers only through an inference profile: put one of {profiles} before the id"
        ));
    }
    if let Some(most) = facts
        .max_output_tokens
        .filter(|most| model.defaults.max_tokens > *most)
    {
        all.push(format!(
            "writes {most} tokens at most, so max_tokens is lowered to that"
        ));
    }
    all
}
