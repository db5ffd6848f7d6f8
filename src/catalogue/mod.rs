//! What is known of Bedrock's models: facts and prices as data, and their lookup by any form of id.
//!
//! `models.json` was gathered from public sources, `rules.json` is kept by hand; an operator overrides both. To learn
//! a new fact, add a rule with its source and the date.

mod reference;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, OnceLock},
};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};
use wildmatch::WildMatch;

pub use reference::{Reference, reference};

use crate::call::{Facts, Model, NanoUsd, Price, Target};

/// What the catalogue says of a target.
#[derive(Clone, Debug)]
pub struct Known {
    /// The base model's id; none where the catalogue does not know it.
    pub base: Option<&'static str>,
    pub facts: Arc<Facts>,
    /// None where no price is known.
    pub price: Option<Arc<Price>>,
}

/// Facts and price of `target`. A model that nobody has described gets permissive facts, and those of its family.
pub fn lookup(target: &Target) -> Known {
    let Reference { base, prefix } = reference(&target.id);
    let Some(entry) = base.and_then(entry) else {
        let facts = Arc::new(facts(
            base.unwrap_or_default(),
            Value::Object(serde_json::Map::new()),
        ));
        return Known {
            base: None,
            facts,
            price: None,
        };
    };
    let facts = entry
        .built
        .get_or_init(|| Arc::new(facts(entry.id, entry.facts())))
        .clone();
    Known {
        base: Some(entry.id),
        facts,
        price: entry.price(prefix, &target.region).map(Arc::new),
    }
}

/// A model of this name at `target`, with what is known of it.
pub fn model(name: impl Into<String>, target: Target) -> Model {
    let Known { base, facts, price } = lookup(&target);
    Model {
        base: base.map(str::to_owned),
        facts,
        price,
        ..Model::new(name, target)
    }
}

/// The facts of `known`, with the members of `overrides` in their place.
///
/// # Errors
/// The text of what is wrong with `overrides`.
pub fn overridden(known: &Known, base: &str, overrides: Value) -> Result<Arc<Facts>, String> {
    let mut value = known
        .base
        .and_then(entry)
        .map_or_else(|| Value::Object(serde_json::Map::new()), Entry::facts);
    apply_rules(base, &mut value);
    merge(&mut value, overrides);
    serde_json::from_value(value)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// What one query of the reranking model `id` costs; none where it is no such model, or its price is not known.
pub fn query_price(id: &str) -> Option<NanoUsd> {
    entry(id)?.query_price.and_then(NanoUsd::parse)
}

/// Every base model of the catalogue.
pub fn ids() -> impl Iterator<Item = &'static str> {
    CATALOGUE.entries.iter().map(|entry| entry.id)
}

#[derive(Deserialize)]
struct ModelsFile<'a> {
    #[serde(borrow)]
    models: Vec<Entry<'a>>,
}

/// What the file says of one model; read when it is asked for, because a gateway needs few of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    id: &'a str,
    #[serde(default)]
    aliases: Vec<&'a str>,
    #[serde(borrow)]
    facts: &'a RawValue,
    #[serde(borrow, default)]
    price: Option<&'a RawValue>,
    #[serde(borrow, default)]
    price_by_profile: HashMap<&'a str, &'a RawValue>,
    #[serde(borrow, default)]
    price_by_region: HashMap<&'a str, &'a RawValue>,
    /// US dollars.
    #[serde(default)]
    query_price: Option<&'a str>,
    #[serde(skip)]
    built: OnceLock<Arc<Facts>>,
}

impl Entry<'_> {
    fn facts(&self) -> Value {
        value(self.facts)
    }

    /// A profile's price where it has one of its own; a region's for the bare id.
    fn price(&self, prefix: Option<&str>, region: &str) -> Option<Price> {
        let mut price = value(self.price?);
        let differing = match prefix {
            Some(prefix) => self.price_by_profile.get(prefix),
            None => self.price_by_region.get(region),
        };
        if let Some(differing) = differing {
            merge(&mut price, value(differing));
        }
        serde_json::from_value(price).ok()
    }
}

#[derive(Deserialize)]
struct RulesFile {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(deserialize_with = "globs")]
    r#match: Vec<WildMatch>,
    facts: Value,
}

fn globs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WildMatch>, D::Error> {
    Ok(Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|glob| WildMatch::new(glob))
        .collect())
}

#[derive(Default)]
struct Catalogue {
    entries: Vec<Entry<'static>>,
    by_id: HashMap<&'static str, usize>,
    rules: Vec<Rule>,
}

// Both files are part of the program; a test reads them, so that neither can be broken here.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let models: Result<ModelsFile<'_>, _> = serde_json::from_str(include_str!("models.json"));
    let rules: Result<RulesFile, _> = serde_json::from_str(include_str!("rules.json"));
    let (Ok(models), Ok(rules)) = (models, rules) else {
        return Catalogue::default();
    };
    let mut by_id = HashMap::new();
    for (index, entry) in models.models.iter().enumerate() {
        for id in std::iter::once(&entry.id).chain(&entry.aliases) {
            by_id.insert(*id, index);
        }
    }
    Catalogue {
        entries: models.models,
        by_id,
        rules: rules.rules,
    }
});

fn entry(id: &str) -> Option<&'static Entry<'static>> {
    let catalogue = &*CATALOGUE;
    catalogue
        .by_id
        .get(id)
        .map(|index| &catalogue.entries[*index])
}

fn value(json: &RawValue) -> Value {
    // It was parsed once already.
    serde_json::from_str(json.get()).unwrap_or_default()
}

fn facts(id: &str, mut value: Value) -> Facts {
    apply_rules(id, &mut value);
    serde_json::from_value(value).unwrap_or_default()
}

fn apply_rules(id: &str, value: &mut Value) {
    for rule in CATALOGUE
        .rules
        .iter()
        .filter(|rule| rule.r#match.iter().any(|glob| glob.matches(id)))
    {
        for (member, new) in rule.facts.as_object().into_iter().flatten() {
            // What a family can do with cache points says nothing of whether this model has them.
            if member == "cache" && value.get("cache").is_none_or(Value::is_null) {
                continue;
            }
            merge(&mut value[member.as_str()], new.clone());
        }
    }
}

/// Objects member by member; everything else is replaced.
fn merge(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (member, value) in new {
                merge(old.entry(member).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{LifecycleStatus, ReasoningStyle, Sampling};

    fn facts_of(id: &str) -> Arc<Facts> {
        let known = lookup(&Target::new(id, "us-east-1"));
        assert!(known.base.is_some(), "{id}");
        known.facts
    }

    #[test]
    fn every_entry_and_rule_can_be_read() {
        assert!(CATALOGUE.entries.len() > 150 && CATALOGUE.rules.len() > 20);
        for entry in &CATALOGUE.entries {
            let mut value = entry.facts();
            apply_rules(entry.id, &mut value);
            serde_json::from_value::<Facts>(value)
                .unwrap_or_else(|error| panic!("{}: {error}", entry.id));
            let places = entry
                .price_by_profile
                .keys()
                .map(|prefix| (Some(*prefix), ""));
            let regions = entry.price_by_region.keys().map(|region| (None, *region));
            for (prefix, region) in places.chain(regions).chain([(None, "")]) {
                assert_eq!(
                    entry.price(prefix, region).is_some(),
                    entry.price.is_some(),
                    "{}",
                    entry.id
                );
            }
        }
        for rule in &CATALOGUE.rules {
            serde_json::from_value::<Facts>(rule.facts.clone())
                .unwrap_or_else(|error| panic!("{error}"));
            let used = ids().any(|id| rule.r#match.iter().any(|glob| glob.matches(id)));
            assert!(used, "a rule matches no model: {:?}", rule.r#match);
        }
    }

    #[test]
    fn generations_of_a_family_differ() {
        let style = |id: &str| facts_of(id).reasoning.style;
        assert_eq!(
            style("anthropic.claude-3-haiku-20240307-v1:0"),
            ReasoningStyle::None
        );
        assert_eq!(
            style("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ReasoningStyle::Budget
        );
        assert_eq!(
            style("anthropic.claude-opus-4-5-20251101-v1:0"),
            ReasoningStyle::Budget
        );
        for fifth in [
            "sonnet-4-6",
            "opus-4-6-v1",
            "opus-4-7",
            "opus-5",
            "opus-5-5",
            "haiku-5-5",
            "fable-5-1",
        ] {
            let facts = facts_of(&format!("anthropic.claude-{fifth}"));
            assert_eq!(facts.reasoning.style, ReasoningStyle::Adaptive, "{fifth}");
            assert!(!facts.prefill, "{fifth}");
        }
        assert_eq!(
            facts_of("anthropic.claude-opus-5-5").sampling,
            Sampling::None
        );
        assert_eq!(
            facts_of("anthropic.claude-sonnet-4-6").sampling,
            Sampling::OneOf
        );
        assert!(
            facts_of("openai.gpt-5.6-sol").cache.is_none(),
            "Converse refuses cache points there"
        );
        assert!(
            facts_of("amazon.nova-lite-v1:0")
                .cache
                .as_ref()
                .is_some_and(|cache| !cache.in_tools)
        );
        let old = facts_of("anthropic.claude-3-haiku-20240307-v1:0");
        assert_eq!(old.lifecycle.status, LifecycleStatus::Eol);
        assert!(
            old.lifecycle
                .warning()
                .is_some_and(|text| text.contains("claude-haiku-5-5"))
        );
    }

    #[test]
    fn the_price_is_that_of_the_profile_or_the_region() {
        let input = |id: &str, region: &str| {
            lookup(&Target::new(id, region))
                .price
                .map(|price| price.input.0)
        };
        assert_eq!(
            input("us.anthropic.claude-sonnet-5-5", "us-east-1"),
            Some(2_200_000)
        );
        assert_eq!(
            input("global.anthropic.claude-sonnet-5-5", "us-east-1"),
            Some(2_000_000)
        );
        assert_eq!(input("eu.amazon.nova-lite-v1:0", "eu-west-1"), Some(78_000));
        assert_eq!(input("somebody.new-model-v1:0", "us-east-1"), None);
    }

    #[test]
    fn an_unknown_model_gets_what_is_known_of_its_family() {
        let known = lookup(&Target::new("us.anthropic.claude-opus-9-5", "us-east-1"));
        assert!(known.base.is_none() && known.price.is_none());
        assert_eq!(known.facts.top_k.as_deref(), Some("top_k"));
        let known = lookup(&Target::new(
            "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc",
            "us-east-1",
        ));
        assert_eq!(*known.facts, Facts::default());
    }
}
