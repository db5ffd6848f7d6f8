//! Explains the choice of a route.

use super::{BUILT, Choice, Feature, Need, Strike, carries, choose, needs, planner};
use crate::{
    call::{Caller, Route},
    error::Error,
    model::Model,
    operation::chat::Chat,
};

/// Every route that serves a model, and the choice between them.
#[derive(Debug)]
pub struct Explanation {
    /// In order of preference.
    pub routes: Vec<RouteExplanation>,
    pub choice: Result<Choice, Error>,
}

/// One route that serves the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteExplanation {
    pub route: Route,
    /// Why the gateway does not choose it, whatever the request needs.
    pub strike: Option<Strike>,
    /// What the request, or any request if there is none, would lose on it.
    pub loses: Vec<Feature>,
}

/// Explains the route of `chat` to `model`, or that of a chat without needs.
pub fn explain(chat: Option<&Chat>, model: &Model, caller: &Caller) -> Explanation {
    let needs = chat.map(|chat| needs::of(chat, model, caller));
    explain_needs(needs.as_deref(), model, BUILT)
}

fn explain_needs(needs: Option<&[Need]>, model: &Model, built: &[Route]) -> Explanation {
    let facts = &model.facts;
    // What only few models have is no loss for the others.
    let is_offered = |feature: &Feature| {
        let mut routes = facts.routes.iter();
        !feature.is_rare() || routes.any(|route| carries(*route, *feature, facts))
    };
    let features: Vec<Feature> = match needs {
        Some(needs) => needs.iter().map(|need| need.feature).collect(),
        // The features are those of chats.
        None if facts.purpose().is_some() => Vec::new(),
        None => Feature::ALL.into_iter().filter(is_offered).collect(),
    };
    let explained = |route: &Route| RouteExplanation {
        route: *route,
        strike: planner::strike(*route, model, built),
        loses: features
            .iter()
            .copied()
            .filter(|feature| !carries(*route, *feature, facts))
            .collect(),
    };
    Explanation {
        routes: facts.routes.iter().map(explained).collect(),
        choice: choose(model, needs.unwrap_or_default(), built),
    }
}
