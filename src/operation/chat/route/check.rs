//! Checks the operator's choice of a route.

use super::{BUILT, Feature, Strike, carries, planner};
use crate::{
    call::{Caller, Route},
    model::Model,
};

/// Returns what is wrong with the `api` of `model`, if anything.
pub fn check(model: &Model) -> Option<String> {
    check_against(model, BUILT)
}

pub(super) fn check_against(model: &Model, built: &[Route]) -> Option<String> {
    let facts = &model.facts;
    let route = planner::of_operator(model, built)?;
    let name = route.as_str();
    if let Some(purpose) = facts.purpose() {
        let (does, endpoint) = (purpose.does, purpose.endpoint);
        return (!purpose.routes.contains(&route)).then(|| {
            format!(
                "must be \"auto\" or \"invoke\", because this model {does} (POST {endpoint}), and does not chat"
            )
        });
    }
    if !facts.routes.contains(&route) {
        let served: Vec<&str> = facts.routes.iter().map(|route| route.as_str()).collect();
        let served = served.join(", ");
        return Some(format!(
            "the route '{name}' does not serve this model; Bedrock serves it on: {served}. If that has changed, set facts.routes"
        ));
    }
    if let Some(strike) = planner::strike(route, model, built).filter(|one| one.is_final()) {
        let what = match strike {
            Strike::NoBody if facts.invoke.is_none() => {
                "the form of its bodies is not known; set facts.invoke"
            }
            strike => strike.as_str(),
        };
        return Some(format!("the route '{name}' cannot be used: {what}"));
    }
    let is_guarded = Caller::default().guardrails_for(model).in_call.is_some();
    (is_guarded && !carries(route, Feature::Guardrail, facts)).then(|| {
        format!(
            "the route '{name}' ignores the guardrail of this model; set guardrail.apply, or another api"
        )
    })
}
