//! The model that a raw ID stands for, in its regions: those of the configured model that governs it, or those of
//! `[defaults]`.

use std::sync::Arc;

use crate::{
    catalogue::{self, CatalogEntry},
    model::{Model, Target, Targets},
};

/// Returns a model with the settings and regions of `template`, and the facts of `described`, which names the same model as
/// `target`.
pub fn raw_model(template: &Model, target: Target, described: &Target) -> Model {
    let CatalogEntry { base, facts, price } = catalogue::lookup(described);
    let model = Model {
        name: target.id.clone(),
        targets: Targets::one(target),
        base: base.map(str::to_owned),
        facts,
        price,
        ..Model::clone(template)
    };
    spread(&model, template, |_, target| Model {
        price: catalogue::lookup(&target).price,
        targets: Targets::one(target),
        ..model.clone()
    })
}

/// Returns the settings of `model` for calls of `target`, another spelling of its target.
pub fn with_target(model: &Arc<Model>, target: Target) -> Arc<Model> {
    if model.target().id == target.id {
        return model.clone();
    }
    // The price of all its regions together is that of none.
    let alone = respelled(&model.at(0), target);
    Arc::new(spread(&alone, model, respelled))
}

/// Returns `model`, which has one target, with those of `target`, another spelling of it.
fn respelled(model: &Model, target: Target) -> Model {
    let (known, listed) = (
        catalogue::lookup(model.target()),
        catalogue::lookup(&target),
    );
    let mut same = model.clone();
    if let Some(base) = listed.base {
        // The operator's facts and price stay. An inference profile has a price of its own in the catalogue.
        if known.facts == model.facts {
            same.facts = listed.facts;
        }
        if known.price == same.price {
            same.price = listed.price;
        }
        same.base = Some(base.to_owned());
    }
    same.targets = Targets::one(target);
    same
}

/// Returns `model` at those places of `pattern` where its ID can be called as it is. `at` returns the model at the target that
/// a place of the pattern becomes. A client that names a profile of a geography keeps its call there.
fn spread(model: &Model, pattern: &Model, at: impl Fn(&Model, Target) -> Model) -> Model {
    let own = model.target();
    let is_arn = own.id.starts_with("arn:");
    let places = pattern.targets.places.iter().filter(|_| !is_arn);
    let places = places.filter_map(|place| {
        let there = place.target();
        let residency = model.options.residency;
        let target = catalogue::target_in(&own.id, &there.region, &model.facts, residency);
        let target = target.ok().filter(|target| target.id == own.id)?;
        let mut here = at(
            place,
            Target {
                account: there.account.clone(),
                ..target
            },
        );
        here.targets.weight = place.targets.weight;
        Some(Arc::new(here))
    });
    let mut model = model.clone().with_places(places.collect());
    model.targets.strategy = pattern.targets.strategy;
    model.targets.queue = pattern.targets.queue;
    model
}
