//! The rules of the choice, in order.

use super::{Need, carries};
use crate::{
    call::Route,
    error::{Error, Kind},
    model::Model,
    operation::not_served,
};

/// The route of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub route: Route,
    /// Why it is this one, for `x-lintel-route`. `None` if it is the model's first route.
    pub reason: Option<&'static str>,
}

/// Why a route that serves a model is not used, whatever the request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// It serves no chats.
    NotForChats,
    /// This version cannot use it.
    NotBuilt,
    /// This version cannot write the body of the model's family.
    NoBody,
    /// It rests on one source, so only the operator chooses it.
    Unproven,
    /// It does not take ARNs.
    Arn,
    /// Converse does not serve imported models of this architecture.
    Architecture,
    /// The operator turned bedrock-mantle off.
    MantleOff,
    /// bedrock-mantle does not exist in the partition of the region.
    Region,
    /// bedrock-runtime serves the model. bedrock-mantle has no invocation log, guardrails or global prices, so only the
    /// operator chooses it then.
    RuntimeServes,
    /// The service has answered that it does not serve the model.
    Learned,
}

impl Strike {
    /// The strike in a sentence, after "not used:".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotForChats => "chats cannot use it",
            Self::NotBuilt => "this version of lintel does not support it",
            Self::NoBody => "this version of lintel does not support the body of this family",
            Self::Unproven => "only one source says that it serves this model; set api to use it",
            Self::Arn => "it does not accept ARNs",
            Self::Architecture => "it does not serve imported models of this architecture",
            Self::MantleOff => "aws.mantle is \"off\"",
            Self::Region => "bedrock-mantle does not exist in this region",
            Self::RuntimeServes => {
                "bedrock-runtime serves this model, with an invocation log and guardrails; set api to use it"
            }
            Self::Learned => "Bedrock answered that it does not serve this model",
        }
    }

    /// Reports whether the strike also applies to a route that the operator chooses.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Self::Unproven | Self::RuntimeServes | Self::Learned)
    }

    /// Reports whether the route is not an alternative at all, so that its absence needs no reason.
    fn is_absence(self) -> bool {
        matches!(
            self,
            Self::NotForChats
                | Self::NotBuilt
                | Self::NoBody
                | Self::Unproven
                | Self::RuntimeServes
        )
    }
}

/// Chooses the route of a chat with these needs.
///
/// # Errors
/// 404 if no route in `built` serves chats on the model. 400 if none that does carries an essential need, or if the
/// operator's choice does not carry a need.
pub fn choose(model: &Model, needs: &[Need], built: &[Route]) -> Result<Choice, Error> {
    let facts = &model.facts;
    if let Some(purpose) = facts.purpose() {
        let (does, endpoint) = (purpose.does, purpose.endpoint);
        return Err(not_served(format!(
            "This model {does}; it does not chat. Send the request to POST {endpoint}."
        )));
    }
    if facts.modality != "chat" {
        let what = facts.modality.replace('_', " ");
        return Err(not_served(format!(
            "This model is for {what}; it does not support chat."
        )));
    }
    if let Some(route) = of_operator(model, built) {
        return configured(route, model, needs, built);
    }
    let lost = |route: Route, need: &Need| !carries(route, need.feature, facts);
    // What no route carries does not decide about the route.
    let is_carried = |need: &Need| usable(model, built).any(|route| !lost(route, need));
    let deciding = |need: &&Need| need.feature.is_essential() || is_carried(need);
    let carries_all = |route: &Route| !needs.iter().filter(deciding).any(|need| lost(*route, need));
    let essential = || needs.iter().filter(|need| need.feature.is_essential());
    let carries_essential = |route: &Route| !essential().any(|need| lost(*route, need));
    let found = usable(model, built).find(carries_all);
    if let Some(route) = found.or_else(|| usable(model, built).find(carries_essential)) {
        return Ok(Choice {
            route,
            reason: reason(route, model, needs, built),
        });
    }
    let routes: Vec<Route> = usable(model, built).collect();
    let Some(first) = routes.first() else {
        return Err(unserved(model, built));
    };
    let need = essential().find(|need| lost(*first, need));
    Err(need.map_or_else(|| unserved(model, built), |need| uncarried(need, &routes)))
}

/// Returns the routes that the gateway may choose, in order of preference.
fn usable(model: &Model, built: &[Route]) -> impl Iterator<Item = Route> {
    let routes = model.facts.routes.iter().copied();
    routes.filter(move |route| strike(*route, model, built).is_none())
}

/// Returns why the gateway does not choose `route`, which serves the model, if there is a reason.
pub fn strike(route: Route, model: &Model, built: &[Route]) -> Option<Strike> {
    let others = model.facts.routes.iter().copied();
    let mut runtime = others.filter(|other| !other.is_mantle());
    // What was learned about the runtime does not move a call to bedrock-mantle.
    let is_served = |route: Route| basic_strike(route, model, built).is_none();
    match basic_strike(route, model, built) {
        None if route.is_mantle() && runtime.any(is_served) => Some(Strike::RuntimeServes),
        None if model.refused.contains(&route) => Some(Strike::Learned),
        strike => strike,
    }
}

fn basic_strike(route: Route, model: &Model, built: &[Route]) -> Option<Strike> {
    let target = model.target();
    let facts = &model.facts;
    let takes_arns = match route {
        Route::Converse => true,
        Route::Invoke => !target.is_prompt(),
        _ => false,
    };
    match route {
        Route::Rerank
        | Route::GuardrailChecks
        | Route::ApplyGuardrail
        | Route::Async
        | Route::Bidi => Some(Strike::NotForChats),
        _ if facts.is_not_for_chats() => Some(Strike::NotForChats),
        _ if !built.contains(&route) => Some(Strike::NotBuilt),
        Route::Invoke if facts.invoke.is_none() => Some(Strike::NoBody),
        Route::Converse if facts.is_not_on_converse() => Some(Strike::Architecture),
        _ if target.id.starts_with("arn:") && !takes_arns => Some(Strike::Arn),
        _ if route.is_mantle() && !model.options.mantle => Some(Strike::MantleOff),
        _ if route.is_mantle() && !has_mantle(&target.region) => Some(Strike::Region),
        _ if facts.unproven.contains(&route) => Some(Strike::Unproven),
        _ => None,
    }
}

/// Reports whether bedrock-mantle exists in the partition of `region`.
pub fn has_mantle(region: &str) -> bool {
    let others = ["cn-", "us-iso", "eu-iso", "eusc-"];
    !others.iter().any(|prefix| region.starts_with(prefix))
}

/// Returns the route that the operator chose: of those that `api` names, the first in the order of the model that can be
/// used. `None` if the gateway chooses.
pub fn of_operator(model: &Model, built: &[Route]) -> Option<Route> {
    let named = model.options.api.routes();
    let mut served = model.facts.routes.iter().copied();
    let is_barred = |route: Route| basic_strike(route, model, built).is_some_and(Strike::is_final);
    let usable = served
        .clone()
        .find(|route| named.contains(route) && !is_barred(*route));
    let known = usable.or_else(|| served.find(|route| named.contains(route)));
    known.or_else(|| named.first().copied())
}

/// Rule 3: the operator's choice. It is used or the request fails; no other route takes its place.
fn configured(
    route: Route,
    model: &Model,
    needs: &[Need],
    built: &[Route],
) -> Result<Choice, Error> {
    let facts = &model.facts;
    let is_barred = basic_strike(route, model, built).is_some_and(Strike::is_final);
    if is_barred || !facts.routes.contains(&route) {
        return Err(not_served(format!(
            "The operator of this gateway chose the route '{}' for this model, which cannot serve it. Contact the operator.",
            route.as_str()
        )));
    }
    // What is not essential the codec of the route emulates, or drops with a warning.
    let lost = |need: &&Need| need.feature.is_essential() && !carries(route, need.feature, facts);
    match needs.iter().find(lost) {
        Some(need) => Err(uncarried(need, &[route])),
        None => Ok(Choice {
            route,
            reason: Some("configured"),
        }),
    }
}

/// Returns the reason for `route`: what excludes the routes before it.
fn reason(route: Route, model: &Model, needs: &[Need], built: &[Route]) -> Option<&'static str> {
    let facts = &model.facts;
    if route == Route::Invoke && model.target().is_imported() {
        return Some("imported");
    }
    let mut before = facts.routes.iter().take_while(|one| **one != route);
    let first = before.find_map(|one| match strike(*one, model, built) {
        Some(strike) if strike.is_absence() => None,
        strike => Some((*one, strike)),
    });
    let Some((first, strike)) = first else {
        return (facts.routes.len() == 1).then_some("only_route");
    };
    match strike {
        Some(Strike::Arn) => Some("arn"),
        Some(Strike::Learned) => Some("learned"),
        Some(_) => Some("region"),
        None => {
            let lost = |need: &&Need| !carries(first, need.feature, facts);
            needs.iter().find(lost).map(|need| need.feature.word())
        }
    }
}

/// The error for a need that no usable route carries.
fn uncarried(need: &Need, routes: &[Route]) -> Error {
    let names: Vec<&str> = routes.iter().map(|route| route.as_str()).collect();
    let names = names.join(", ");
    let feature = need.feature.as_str();
    let text = match need.param.as_ref() {
        "model" => format!(
            "The operator of this gateway requires {feature}, which the route to this model ({names}) does not carry. Use \
             another model, or contact the operator."
        ),
        param => format!(
            "'{param}' needs {feature}, which the route to this model ({names}) does not carry. Omit it, or use another \
             model."
        ),
    };
    Error::new(Kind::InvalidRequest, text)
        .with_code("unsupported_parameter")
        .with_param(need.param.clone())
}

/// The error for a model that no usable route serves.
fn unserved(model: &Model, built: &[Route]) -> Error {
    let strikes = model.facts.routes.iter();
    let strikes = strikes.filter_map(|route| Some((*route, strike(*route, model, built)?)));
    let names = |of: fn(Strike) -> bool| {
        let names = strikes.clone().filter(|(_, strike)| of(*strike));
        let names: Vec<&str> = names.map(|(route, _)| route.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let text = if let Some(names) = names(|one| one == Strike::Learned) {
        format!(
            "Bedrock answered that it does not serve this model on any route of this gateway ({names})."
        )
    } else if names(|one| one == Strike::MantleOff).is_some() {
        "Only bedrock-mantle serves this model, and the configuration of this gateway turns it off (aws.mantle).".to_owned()
    } else if names(|one| one == Strike::Region).is_some() {
        "Only bedrock-mantle serves this model, and it does not exist in this region.".to_owned()
    } else if let Some(names) = names(|one| one == Strike::Arn) {
        format!(
            "This model is served only by the routes {names}, which do not accept ARNs. Use its id."
        )
    } else if let Some(names) = names(|one| one == Strike::Unproven) {
        format!(
            "It is not proven that Bedrock serves this model on a route of this gateway ({names}). The operator can choose \
             one with the model's 'api'."
        )
    } else {
        let facts = &model.facts;
        let mut proven = facts
            .routes
            .iter()
            .filter(|one| !facts.unproven.contains(one));
        let is_on_mantle = proven.all(|route| route.is_mantle());
        let host = if is_on_mantle {
            "bedrock-mantle"
        } else {
            "Bedrock"
        };
        let names = names(|_| true).unwrap_or_else(|| "none".to_owned());
        format!(
            "This version of the gateway supports no route that serves this model. {host} serves it on: {names}."
        )
    };
    not_served(text)
}
