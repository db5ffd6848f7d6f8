//! The catalog of Bedrock's models: facts and prices as data, with a lookup by any form of id.
//!
//! `make catalogue` writes `models.json` from public sources and from `corrections.json`, `routes.json` and `rules.json`
//! are maintained by hand, and an operator overrides all. To add a fact, add a rule with its source and date.

pub mod betas;
mod origin;
mod profile;
mod reference;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, OnceLock},
};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};
use wildmatch::WildMatch;

pub use origin::{Origin, fact_origins, price_origins};
pub use profile::{profile_of, share_geography, target_in, through_profile, within_residency};
pub use reference::{PREFIXES, Reference, parse_reference};

use crate::{
    model::{Facts, Model, Target},
    money::{GuardrailPrice, NanoUsd, Price},
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
            base.unwrap_or(&target.id),
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

/// Returns the base model of `id`: as the catalog writes it, if it has the model.
pub fn base(id: &str) -> Option<&str> {
    let base = parse_reference(id).base?;
    Some(find_entry(base).map_or(base, |entry| entry.id))
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
    find_entry(id)?.price(None, "")?.query
}

/// Returns the prices of guardrails.
pub fn guardrail_price() -> &'static GuardrailPrice {
    static PRICE: LazyLock<GuardrailPrice> = LazyLock::new(|| {
        #[derive(Deserialize)]
        struct File {
            price: GuardrailPrice,
        }
        // The file is compiled in, and a test parses it, so parsing cannot fail here.
        serde_json::from_str(include_str!("guardrails.json"))
            .map(|file: File| file.price)
            .unwrap_or_default()
    });
    &PRICE
}

/// Returns the price of a unit of the content filters of guardrail checks.
pub fn content_check_price() -> NanoUsd {
    static PRICE: LazyLock<NanoUsd> = LazyLock::new(|| {
        // The file is compiled in, and a test reads the price, so this cannot fail here.
        let file: Result<Value, _> = serde_json::from_str(include_str!("guardrails.json"));
        let price = file.ok();
        let price = price
            .as_ref()
            .and_then(|file| file["content_check"]["price"].as_str());
        price.and_then(NanoUsd::parse).unwrap_or_default()
    });
    *PRICE
}

/// Returns the ids of all base models in the catalog.
pub fn ids() -> impl Iterator<Item = &'static str> {
    CATALOG.entries.iter().map(|entry| entry.id)
}

#[derive(Deserialize)]
struct ModelsFile<'a> {
    sources: BTreeMap<String, Origin>,
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
    /// The members of this entry and its facts that each source of the file gives.
    sources: BTreeMap<&'a str, Vec<&'a str>>,
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
    /// The day on which the source was read.
    learned: String,
    source: String,
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
    sources: BTreeMap<String, Origin>,
    rules: Vec<Rule>,
}

// The files are compiled in, and a test parses them, so parsing cannot fail here.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let models: Result<ModelsFile<'_>, _> = serde_json::from_str(include_str!("models.json"));
    let routes: Result<RulesFile, _> = serde_json::from_str(include_str!("routes.json"));
    let rules: Result<RulesFile, _> = serde_json::from_str(include_str!("rules.json"));
    let (Ok(models), Ok(routes), Ok(rules)) = (models, routes, rules) else {
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
        sources: models.sources,
        rules: routes.rules.into_iter().chain(rules.rules).collect(),
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

fn rules_of(id: &str) -> impl Iterator<Item = &'static Rule> {
    let rules = CATALOG.rules.iter();
    rules.filter(move |rule| rule.r#match.iter().any(|glob| glob.matches(id)))
}

fn apply_rules(id: &str, value: &mut Value) {
    for rule in rules_of(id) {
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
mod tests;
