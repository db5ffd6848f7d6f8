//! The catalog of Bedrock's models: facts and prices as data, with a lookup by any form of id.
//!
//! `models.json` is gathered from public sources, `rules.json` is maintained by hand, and an operator overrides both.
//! To add a fact, add a rule with its source and date.

mod reference;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, OnceLock},
};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};
use wildmatch::WildMatch;

pub use reference::{Reference, parse_reference};

use crate::{
    model::{Facts, Model, Target},
    money::{NanoUsd, Price},
};

/// The facts and the price of a target.
#[derive(Clone, Debug)]
pub struct CatalogEntry {
    /// The id of the base model. None if it is not in the catalog.
    pub base: Option<&'static str>,
    pub facts: Arc<Facts>,
    /// None if no price is known.
    pub price: Option<Arc<Price>>,
}

/// Returns the facts and the price of `target`. A model that is not in the catalog gets permissive facts, refined by
/// the rules that match its id.
pub fn lookup(target: &Target) -> CatalogEntry {
    let Reference { base, prefix } = parse_reference(&target.id);
    let Some(entry) = base.and_then(find_entry) else {
        let facts = Arc::new(build_facts(
            base.unwrap_or_default(),
            Value::Object(serde_json::Map::new()),
        ));
        return CatalogEntry {
            base: None,
            facts,
            price: None,
        };
    };
    let facts = entry
        .built
        .get_or_init(|| Arc::new(build_facts(entry.id, entry.facts())))
        .clone();
    CatalogEntry {
        base: Some(entry.id),
        facts,
        price: entry.price(prefix, &target.region).map(Arc::new),
    }
}

/// Returns a model with this name and target, and the catalog's facts and price.
pub fn model(name: impl Into<String>, target: Target) -> Model {
    let CatalogEntry { base, facts, price } = lookup(&target);
    Model {
        base: base.map(str::to_owned),
        facts,
        price,
        ..Model::new(name, target)
    }
}

/// Returns the facts of `entry` with the members of `overrides` replaced. `base` is the id that rules match.
///
/// # Errors
/// Returns what is wrong with `overrides`.
pub fn override_facts(
    entry: &CatalogEntry,
    base: &str,
    overrides: Value,
) -> Result<Arc<Facts>, String> {
    let mut value = entry
        .base
        .and_then(find_entry)
        .map_or_else(|| Value::Object(serde_json::Map::new()), RawEntry::facts);
    apply_rules(base, &mut value);
    merge(&mut value, overrides);
    serde_json::from_value(value)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// Returns the price of one query of the reranking model `id`, or none if it is unknown or `id` is another kind of
/// model.
pub fn query_price(id: &str) -> Option<NanoUsd> {
    find_entry(id)?.query_price.and_then(NanoUsd::parse)
}

/// Returns the ids of all base models in the catalog.
pub fn ids() -> impl Iterator<Item = &'static str> {
    CATALOG.entries.iter().map(|entry| entry.id)
}

#[derive(Deserialize)]
struct ModelsFile<'a> {
    #[serde(borrow)]
    models: Vec<RawEntry<'a>>,
}

/// One model in `models.json`. Its values are parsed on demand, because a gateway uses few models.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry<'a> {
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
    /// The price of one reranking query, in US dollars.
    #[serde(default)]
    query_price: Option<&'a str>,
    /// The facts, once they were looked up.
    #[serde(skip)]
    built: OnceLock<Arc<Facts>>,
}

impl RawEntry<'_> {
    fn facts(&self) -> Value {
        parse_value(self.facts)
    }

    /// Returns the price with its differences for an inference profile, or for the region if there is no profile.
    fn price(&self, prefix: Option<&str>, region: &str) -> Option<Price> {
        let mut price = parse_value(self.price?);
        let differing = match prefix {
            Some(prefix) => self.price_by_profile.get(prefix),
            None => self.price_by_region.get(region),
        };
        if let Some(differing) = differing {
            merge(&mut price, parse_value(differing));
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
    #[serde(deserialize_with = "parse_globs")]
    r#match: Vec<WildMatch>,
    facts: Value,
}

fn parse_globs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WildMatch>, D::Error> {
    Ok(Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|glob| WildMatch::new(glob))
        .collect())
}

#[derive(Default)]
struct Catalog {
    entries: Vec<RawEntry<'static>>,
    by_id: HashMap<&'static str, usize>,
    rules: Vec<Rule>,
}

// Both files are compiled in, and a test parses them, so parsing cannot fail here.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let models: Result<ModelsFile<'_>, _> = serde_json::from_str(include_str!("models.json"));
    let rules: Result<RulesFile, _> = serde_json::from_str(include_str!("rules.json"));
    let (Ok(models), Ok(rules)) = (models, rules) else {
        return Catalog::default();
    };
    let mut by_id = HashMap::new();
    for (index, entry) in models.models.iter().enumerate() {
        for id in std::iter::once(&entry.id).chain(&entry.aliases) {
            by_id.insert(*id, index);
        }
    }
    Catalog {
        entries: models.models,
        by_id,
        rules: rules.rules,
    }
});

fn find_entry(id: &str) -> Option<&'static RawEntry<'static>> {
    let catalog = &*CATALOG;
    catalog.by_id.get(id).map(|index| &catalog.entries[*index])
}

fn parse_value(json: &RawValue) -> Value {
    // The whole file was parsed before, so this cannot fail.
    serde_json::from_str(json.get()).unwrap_or_default()
}

fn build_facts(id: &str, mut value: Value) -> Facts {
    apply_rules(id, &mut value);
    serde_json::from_value(value).unwrap_or_default()
}

fn apply_rules(id: &str, value: &mut Value) {
    for rule in CATALOG
        .rules
        .iter()
        .filter(|rule| rule.r#match.iter().any(|glob| glob.matches(id)))
    {
        for (member, new) in rule.facts.as_object().into_iter().flatten() {
            // A rule describes how a family uses cache points, but not whether this model supports them.
            if member == "cache" && value.get("cache").is_none_or(Value::is_null) {
                continue;
            }
            merge(&mut value[member.as_str()], new.clone());
        }
    }
}

/// Merges objects member by member, and replaces all other values.
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
    use crate::model::{LifecycleStatus, ReasoningStyle, Sampling};

    fn facts_of(id: &str) -> Arc<Facts> {
        let entry = lookup(&Target::new(id, "us-east-1"));
        assert!(entry.base.is_some(), "{id}");
        entry.facts
    }

    #[test]
    fn every_entry_parses_and_every_rule_matches_a_model() {
        assert!(CATALOG.entries.len() > 150 && CATALOG.rules.len() > 20);
        for entry in &CATALOG.entries {
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
        for rule in &CATALOG.rules {
            serde_json::from_value::<Facts>(rule.facts.clone())
                .unwrap_or_else(|error| panic!("{error}"));
            let used = ids().any(|id| rule.r#match.iter().any(|glob| glob.matches(id)));
            assert!(used, "a rule matches no model: {:?}", rule.r#match);
        }
    }

    #[test]
    fn rules_distinguish_generations_of_a_family() {
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
            "Converse rejects cache points for this model"
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
    fn prices_depend_on_the_profile_or_the_region() {
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
    fn an_unknown_model_gets_the_facts_of_its_family() {
        let entry = lookup(&Target::new("us.anthropic.claude-opus-9-5", "us-east-1"));
        assert!(entry.base.is_none() && entry.price.is_none());
        assert_eq!(entry.facts.top_k.as_deref(), Some("top_k"));
        let entry = lookup(&Target::new(
            "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc",
            "us-east-1",
        ));
        assert_eq!(*entry.facts, Facts::default());
    }
}
