//! `regions`, `strategy` and `weights` of a model: where it is called, and how one of its regions is chosen.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    catalogue,
    config::reader::Section,
    model::{Model, Residency, Strategy},
};

/// The most regions of a model.
const MAX_REGIONS: usize = 16;
const MAX_WEIGHT: u64 = 100;

/// The regions of a model, as configured.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    /// In order of preference. If `None`, the region of `[aws]`.
    names: Option<Vec<String>>,
    strategy: Strategy,
    weights: BTreeMap<String, u32>,
}

/// Reads the settings of `[defaults]`, or those of a model whose defaults are `defaults`.
pub fn read(section: &mut Section<'_>, defaults: &Regions) -> Regions {
    let names = section.strings("regions");
    if let Some(names) = &names {
        let is_repeated = |name: &String| names.iter().filter(|one| *one == name).count() > 1;
        if names.is_empty() || names.len() > MAX_REGIONS {
            let text = format!("must name between 1 and {MAX_REGIONS} regions");
            section.problem_at("regions", text);
        } else if let Some(name) = names.iter().find(|name| is_repeated(name)) {
            section.problem_at("regions", format!("names {name} more than once"));
        }
    }
    let choices = [
        ("ordered", Strategy::Ordered),
        ("round_robin", Strategy::RoundRobin),
        ("least_in_flight", Strategy::LeastInFlight),
        ("headroom", Strategy::Headroom),
    ];
    let weights = section.counts("weights", MAX_WEIGHT);
    Regions {
        names: names
            .filter(|names| !names.is_empty())
            .or_else(|| defaults.names.clone()),
        strategy: section.choice("strategy", &choices, defaults.strategy),
        weights: weights.unwrap_or_else(|| defaults.weights.clone()),
    }
}

impl Regions {
    /// The preferred region, or `default`.
    pub fn first<'a>(&'a self, default: &'a str) -> &'a str {
        let first = self.names.as_ref().and_then(|names| names.first());
        first.map_or(default, String::as_str)
    }

    /// Returns `model`, which is that of the preferred region, with all its regions. `target` is the configured id, and
    /// `has_price` means that the operator's price applies everywhere. `is_own` means that the model's own section names
    /// the regions: other models stay where they can be called.
    pub fn places(
        &self,
        model: Model,
        target: &str,
        has_price: bool,
        is_own: bool,
        section: &Section<'_>,
    ) -> Model {
        let names = self.names.as_deref().unwrap_or_default();
        let is_known = |name: &&String| !names.contains(name);
        if let Some(name) = self.weights.keys().find(is_known).filter(|_| is_own) {
            let text = format!("'{name}' is not one of the model's regions");
            section.problem_at("weights", text);
        }
        let [first, _, ..] = names else {
            return model;
        };
        let residency = model.options.residency;
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            let is_far =
                residency == Residency::Geography && !catalogue::share_geography(first, name);
            let found = match is_far {
                true => Err(format!(
                    "{first} and {name} are not in one geography, as aws.residency demands"
                )),
                false => catalogue::target_in(target, name, &model.facts, residency),
            };
            match found {
                Ok(target) => {
                    let mut place = model.clone();
                    if !has_price {
                        place.price = catalogue::lookup(&target).price;
                    }
                    place.targets.first = Arc::new(target);
                    place.targets.weight = self.weights.get(name).copied().unwrap_or(1);
                    places.push(Arc::new(place));
                }
                Err(problem) if is_own => section.problem_at("regions", problem),
                Err(_) => {}
            }
        }
        let mut model = model.with_places(places);
        model.targets.strategy = self.strategy;
        model
    }
}
