//! The sources of facts and prices.

use serde::{Deserialize, Serialize};

use super::{CATALOG, RawEntry, find_entry, parse_reference, rules_of};
use crate::model::Target;

/// A source, and the day on which it was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Origin {
    pub name: String,
    /// None for the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// Returns the sources of a fact about the base model `id`: those of the catalog, then those of the rules. Empty if
/// neither has the fact, so that it is the default.
pub fn fact_origins(id: &str, member: &str) -> Vec<Origin> {
    let mut origins = find_entry(id).map_or_else(Vec::new, |entry| listed(entry, member));
    for rule in rules_of(id) {
        match rule.facts.get(member) {
            None => continue,
            // No rule gives cache points to a model that the catalog lists without them.
            Some(_) if member == "cache" && origins.is_empty() => continue,
            // Rules merge objects, and replace all else.
            Some(value) if !value.is_object() => origins.clear(),
            Some(_) => {}
        }
        origins.push(Origin {
            name: rule.source.clone(),
            date: Some(rule.learned.clone()),
        });
    }
    origins
}

/// Returns the sources of the price of `target`. Empty if the catalog has none.
pub fn price_origins(target: &Target) -> Vec<Origin> {
    let reference = parse_reference(&target.id);
    let Some(entry) = reference.base.and_then(find_entry) else {
        return Vec::new();
    };
    let mut origins = listed(entry, "price");
    let (table, place) = match reference.prefix {
        Some(prefix) => ("price_by_profile", entry.price_by_profile.get(prefix)),
        None => (
            "price_by_region",
            entry.price_by_region.get(target.region.as_str()),
        ),
    };
    if place.is_some() {
        let more = listed(entry, table);
        origins.extend(
            more.into_iter()
                .filter(|origin| !origins.contains(origin))
                .collect::<Vec<_>>(),
        );
    }
    origins
}

fn listed(entry: &RawEntry<'_>, member: &str) -> Vec<Origin> {
    let names = entry
        .sources
        .iter()
        .filter(|(_, members)| members.contains(&member));
    names
        .filter_map(|(name, _)| CATALOG.sources.get(*name).cloned())
        .collect()
}
