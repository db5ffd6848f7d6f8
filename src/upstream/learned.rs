//! The routes on which the service has answered that it does not serve a model, so that further calls take another route
//! at once.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{
    call::{Call, Plan, Route},
    catalogue,
    model::Model,
    operation::Operation,
};

/// How long a refusal is remembered. Bedrock adds routes to models, and its answer may have been an outage.
const TTL: Duration = Duration::from_secs(3600);

/// Capacity of the cache, in models. Bounded because clients may send raw model ids.
const CAPACITY: usize = 1000;

/// Remembers refusals, by model and region. Cheap to clone.
#[derive(Clone)]
pub struct LearnedRoutes(Arc<Cache<String, Vec<(Route, Instant)>>>);

impl Default for LearnedRoutes {
    fn default() -> Self {
        Self(Arc::new(Cache::new(CAPACITY)))
    }
}

impl LearnedRoutes {
    /// Returns the routes that do not serve `model`.
    pub fn refused(&self, model: &Model) -> Vec<Route> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        let known = self.0.get(&key(model)).unwrap_or_default();
        let known = known.into_iter().filter(|(_, until)| *until > now);
        known.map(|(route, _)| route).collect()
    }

    /// Remembers that `route` does not serve `model`. Call it only after another route has served it.
    pub(super) fn learn(&self, model: &Model, route: Route) {
        let now = Instant::now();
        let mut known = self.0.get(&key(model)).unwrap_or_default();
        known.retain(|(other, until)| *other != route && *until > now);
        known.push((route, now + TTL));
        self.0.insert(key(model), known);
    }

    /// Returns `call` on the next route that serves its model, after the service has refused the planned one. `None` if
    /// there is no other, or if it could cost more than what was reserved.
    pub(super) fn rerouted<T: Operation>(&self, call: &Call<T>) -> Option<Call<T>> {
        let refused = call.plan.route;
        let mut model = Model::clone(&call.model);
        model.refused.push(refused);
        let plan = call.body.plan(&model, &call.caller).ok()?;
        let model = catalogue::through_profile(&model, plan.route).unwrap_or(model);
        if plan.route == refused || most(&plan, &model) > most(&call.plan, &call.model) {
            return None;
        }
        call.trace.warnings().add(format!(
            "model: sent on the route '{}' (Bedrock answered that '{}' does not serve it)",
            plan.route.as_str(),
            refused.as_str()
        ));
        Some(Call {
            request_id: call.request_id.clone(),
            caller: call.caller.clone(),
            model: Arc::new(model),
            body: call.body.clone(),
            plan,
            end_user: call.end_user.clone(),
            trace: call.trace.clone(),
        })
    }
}

/// The most that a call can cost, in nano-dollars; without a price, what is known of it.
fn most(plan: &Plan, model: &Model) -> u64 {
    let cost = model
        .price
        .as_deref()
        .and_then(|price| plan.worst.cost(price));
    cost.unwrap_or(plan.worst.all_fees()).0
}

/// An inference profile serves its model on the same routes.
fn key(model: &Model) -> String {
    let target = model.target();
    let id = model.base.as_deref().unwrap_or(&target.id);
    format!("{} {id}", target.region)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Target;

    #[tokio::test(start_paused = true)]
    async fn refusal_is_remembered_for_an_hour_for_every_spelling() {
        let learned = LearnedRoutes::default();
        let model = |id: &str| catalogue::model("m", Target::new(id, "us-east-1"));
        let (bare, profile) = (model("openai.gpt-5.6-sol"), model("us.openai.gpt-5.6-sol"));
        learned.learn(&bare, Route::Chat);
        assert_eq!(learned.refused(&profile), [Route::Chat]);
        assert!(learned.refused(&model("openai.gpt-5.6-terra")).is_empty());
        tokio::time::advance(Duration::from_secs(1800)).await;
        learned.learn(&profile, Route::Converse);
        assert_eq!(learned.refused(&bare), [Route::Chat, Route::Converse]);
        tokio::time::advance(Duration::from_secs(1801)).await;
        assert_eq!(learned.refused(&bare), [Route::Converse]);
    }
}
