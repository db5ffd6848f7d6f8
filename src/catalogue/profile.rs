//! The inference profile of a model that is available only through one.

use std::sync::Arc;

use super::{lookup, parse_reference};
use crate::model::{Facts, Model, Residency, Route, Target, Targets};

/// Returns `model` with the inference profile that a call on `route` needs, and the price of that profile. `None` if the
/// target is no bare id, the route accepts bare ids, or the operator's residency excludes every profile of the model.
pub fn through_profile(model: &Model, route: Route) -> Option<Model> {
    let target = profile_of(model, route)?;
    let mut through = Model::clone(model);
    // The operator's price applies to every spelling of the target.
    if lookup(model.target()).price == model.price {
        through.price = lookup(&target).price;
    }
    through.targets = Targets {
        first: Arc::new(target),
        others: model.targets.others.clone(),
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
    let profiles = &model.facts.profiles;
    let is_offered = |prefix: &&str| profiles.iter().any(|profile| profile == prefix);
    let prefix = match model.options.residency {
        Residency::Profile(prefix) => Some(prefix).filter(is_offered),
        Residency::Geography => geographies(&target.region).iter().copied().find(is_offered),
        Residency::Any => {
            let all = geographies(&target.region)
                .iter()
                .copied()
                .chain(["global"]);
            all.into_iter().find(is_offered)
        }
    }?;
    Some(Target {
        id: format!("{prefix}.{}", target.id),
        region: target.region.clone(),
    })
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
mod tests {
    use super::*;

    fn profile(id: &str, region: &str, route: Route, residency: Residency) -> Option<String> {
        let mut model = crate::catalogue::model("m", Target::new(id, region));
        model.options.residency = residency;
        through_profile(&model, route).map(|model| model.target().id.clone())
    }

    #[test]
    fn bare_id_gets_the_profile_of_its_geography() {
        let id = "anthropic.claude-haiku-5-5";
        for (region, prefix) in [
            ("us-east-1", "us"),
            ("us-gov-west-1", "us-gov"),
            ("eu-west-3", "eu"),
            ("ap-northeast-1", "jp"),
            ("ap-southeast-2", "au"),
            ("ap-southeast-1", "apac"),
            ("me-central-1", "global"),
        ] {
            let found = profile(id, region, Route::Converse, Residency::Any);
            assert_eq!(found, Some(format!("{prefix}.{id}")), "{region}");
        }
        // No Japanese profile, so that of the wider geography.
        let older = "anthropic.claude-sonnet-4-20250514-v1:0";
        let found = profile(older, "ap-northeast-1", Route::Converse, Residency::Any);
        assert_eq!(found, Some(format!("apac.{older}")));
    }

    #[test]
    fn residency_excludes_other_profiles() {
        let id = "anthropic.claude-fable-5-2";
        let found = |residency| profile(id, "eu-west-1", Route::Converse, residency);
        assert_eq!(found(Residency::Any), Some(format!("global.{id}")));
        assert_eq!(found(Residency::Geography), None);
        assert_eq!(found(Residency::Profile("us")), Some(format!("us.{id}")));
        assert_eq!(found(Residency::Profile("eu")), None);
    }

    #[test]
    fn only_bare_ids_on_routes_that_need_a_profile_change() {
        let any = |id: &str, route| profile(id, "us-east-1", route, Residency::Any);
        assert_eq!(any("us.anthropic.claude-haiku-5-5", Route::Converse), None);
        assert_eq!(any("amazon.nova-lite-v1:0", Route::Converse), None);
        assert_eq!(any("somebody.new-v1:0", Route::Converse), None);
        let gpt = "openai.gpt-5.6-sol";
        assert_eq!(any(gpt, Route::Converse), None);
        assert_eq!(any(gpt, Route::MantleChat), None);
        assert_eq!(any(gpt, Route::Chat), Some(format!("us.{gpt}")));
    }

    #[test]
    fn price_is_that_of_the_profile_unless_the_operator_sets_one() {
        let mut model =
            crate::catalogue::model("m", Target::new("amazon.nova-2-lite-v1:0", "me-south-1"));
        let global = lookup(&Target::new("global.amazon.nova-2-lite-v1:0", "me-south-1"));
        assert_ne!(model.price, global.price);
        let through = through_profile(&model, Route::Converse).unwrap();
        assert_eq!(through.price, global.price);
        model.price = None;
        assert_eq!(
            through_profile(&model, Route::Converse).unwrap().price,
            None
        );
    }
}
