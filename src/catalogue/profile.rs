//! The inference profile of a model that is available only through one.

use std::sync::Arc;

use super::{lookup, parse_reference};
use crate::model::{Facts, Model, Residency, Route, Target, Targets};

/// Returns `model` with the inference profiles that calls on `route` need at its targets, and the prices of these profiles.
/// `None` if no target is a bare id, the route accepts bare ids, or the operator's residency excludes every profile of the
/// model.
pub fn through_profile(model: &Model, route: Route) -> Option<Model> {
    let places = &model.targets.places;
    if places.is_empty() {
        return at_profile(model, route);
    }
    let through = places.iter().map(|place| at_profile(place, route));
    let through: Vec<_> = through.collect();
    if through.iter().all(Option::is_none) {
        return None;
    }
    let places = through.into_iter().zip(places.iter());
    let places = places.map(|(through, place)| through.map_or_else(|| place.clone(), Arc::new));
    Some(model.clone().with_places(places.collect()))
}

fn at_profile(model: &Model, route: Route) -> Option<Model> {
    let target = profile_of(model, route)?;
    let mut through = Model::clone(model);
    // The operator's price applies to every spelling of the target.
    if lookup(model.target()).price == model.price {
        through.price = lookup(&target).price;
    }
    through.targets = Targets {
        first: Arc::new(target),
        ..model.targets.clone()
    };
    Some(through)
}

/// Returns the profile that a call of `model` on `route` needs instead of its bare id.
pub fn profile_of(model: &Model, route: Route) -> Option<Target> {
    let target = model.target();
    if model.base.is_none() || !needs_profile(&model.facts, route) {
        return None;
    }
    let is_prefixed = parse_reference(&target.id).prefix.is_some();
    if is_prefixed || target.id.starts_with("arn:") {
        return None;
    }
    let prefix = fitting(&model.facts, &target.region, model.options.residency)?;
    Some(Target {
        id: format!("{prefix}.{}", target.id),
        ..Target::clone(target)
    })
}

/// Returns the prefix of the profile for calls from `region`, of those that the model has and that `residency` allows.
fn fitting(facts: &Facts, region: &str, residency: Residency) -> Option<&'static str> {
    let is_offered = |prefix: &&str| facts.profiles.iter().any(|profile| profile == prefix);
    match residency {
        Residency::Profile(prefix) => Some(prefix).filter(is_offered),
        Residency::Geography => geographies(region).iter().copied().find(is_offered),
        Residency::Any => {
            let all = geographies(region).iter().copied().chain(["global"]);
            all.into_iter().find(is_offered)
        }
    }
}

/// Returns the target of a model in `region`, where `configured` is its id in one region and `facts` are those of the model.
/// A profile of another geography is replaced by one that `region` can call.
///
/// # Errors
/// Returns why the model cannot be called there.
pub fn target_in(
    configured: &str,
    region: &str,
    facts: &Facts,
    residency: Residency,
) -> Result<Target, String> {
    let target = Target::new(configured, region);
    if target.region != region {
        return Err(format!(
            "'{configured}' can be called only in its own region, {}",
            target.region
        ));
    }
    if !allows(residency, region) {
        return Err(format!("{region} is outside of aws.residency"));
    }
    let Some(prefix) = parse_reference(configured).prefix else {
        return Ok(target);
    };
    let reaches = prefix == "global" || geographies(region).contains(&prefix);
    if configured.starts_with("arn:") || reaches {
        return Ok(target);
    }
    let base = configured
        .split_once('.')
        .map_or(configured, |(_, base)| base);
    match fitting(facts, region, residency) {
        Some(own) => Ok(Target::new(format!("{own}.{base}"), region)),
        None => Err(format!(
            "{region} cannot call the profile '{prefix}.', and the model has none for {region} that aws.residency allows"
        )),
    }
}

/// Checks that the profile in `id`, if there is one, answers calls from `region` where `residency` demands.
///
/// # Errors
/// Says that it may answer elsewhere.
pub fn within_residency(id: &str, region: &str, residency: Residency) -> Result<(), String> {
    let Some(prefix) = parse_reference(id).prefix else {
        return Ok(());
    };
    let around = geographies(region);
    let position = |prefix| around.iter().position(|one| *one == prefix);
    let is_within = match residency {
        Residency::Any | Residency::Profile("global") => true,
        Residency::Geography => position(prefix).is_some(),
        // The narrowest come first.
        Residency::Profile(own) => {
            position(prefix).is_some_and(|at| position(own).is_some_and(|own| at <= own))
        }
    };
    match is_within {
        true => Ok(()),
        false => Err(format!(
            "calls of its profile '{prefix}.' may be answered outside of aws.residency; use the id without it"
        )),
    }
}

/// Reports whether calls from `region` stay where `residency` demands.
fn allows(residency: Residency, region: &str) -> bool {
    match residency {
        Residency::Profile("global") | Residency::Any | Residency::Geography => true,
        Residency::Profile(prefix) => geographies(region).contains(&prefix),
    }
}

/// Reports whether two regions are in one geography.
pub fn share_geography(one: &str, other: &str) -> bool {
    let of_other = geographies(other);
    one == other || geographies(one).iter().any(|own| of_other.contains(own))
}

/// Reports whether `route` serves the model only through an inference profile. bedrock-mantle has no profiles.
fn needs_profile(facts: &Facts, route: Route) -> bool {
    match route {
        Route::Chat | Route::Responses | Route::Messages => {
            let native = facts.native.as_ref();
            facts.needs_profile || native.is_some_and(|native| native.needs_profile)
        }
        route => facts.needs_profile && !route.is_mantle(),
    }
}

/// The prefixes of profiles that stay in the geography of `region`, the narrowest first.
fn geographies(region: &str) -> &'static [&'static str] {
    match region.split_once('-') {
        Some(("us", rest)) if rest.starts_with("gov-") => &["us-gov"],
        Some(("us", _)) => &["us", "amer"],
        Some(("eu", _)) => &["eu"],
        Some(("ca", _)) => &["ca", "amer"],
        Some(("sa", _)) => &["sa", "amer"],
        Some(("ap", "northeast-1" | "northeast-3")) => &["jp", "apac"],
        Some(("ap", "southeast-2" | "southeast-4" | "southeast-6")) => &["au", "apac"],
        Some(("ap", "south-1" | "south-2")) => &["in", "apac"],
        Some(("ap", _)) => &["apac"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
