use std::sync::Arc;

use futures_util::future::BoxFuture;
use tower::{Layer, Service};

use super::Reply;
use crate::{
    call::{Call, Plan, Unplanned},
    catalogue,
    error::Error,
    model::{Api, Facts, Model, Target},
    money::GuardrailFees,
    operation::Operation,
    upstream::{LearnedRoutes, ProfileLookup, Unresolved},
};

/// Resolves the facts of a call's model, and makes the call's plan. If the ARN of a model does not contain its base
/// model, AWS is queried for it, and the facts and price of the base model apply.
#[derive(Clone)]
pub struct Resolve {
    pub lookup: ProfileLookup,
    /// The routes that do not serve a model, for the plan.
    pub learned: LearnedRoutes,
}

impl Resolve {
    async fn model(&self, model: Arc<Model>) -> Arc<Model> {
        if model.base.is_some() {
            return model;
        }
        if let Some(model) = self.imported(&model).await {
            return model;
        }
        let base = match self.lookup.base(model.target()).await {
            Ok(Some(base)) => base,
            Ok(None) => return model,
            Err(Unresolved) => {
                return Arc::new(Model {
                    is_unresolved: true,
                    ..Model::clone(&model)
                });
            }
        };
        let target = Target {
            id: base,
            ..Target::clone(model.target())
        };
        let known = catalogue::lookup(&target);
        // The configuration takes precedence.
        let facts = match *model.facts == Facts::default() {
            true => known.facts,
            false => model.facts.clone(),
        };
        Arc::new(Model {
            base: known.base.map(str::to_owned),
            facts,
            price: model.price.clone().or(known.price),
            ..Model::clone(&model)
        })
    }

    /// Returns an imported model with its architecture, which says whether Converse serves it. `None` if it is no such model,
    /// the configuration says it, or AWS does not.
    async fn imported(&self, model: &Arc<Model>) -> Option<Arc<Model>> {
        let is_chosen = model.options.api != Api::Auto || model.facts.architecture.is_some();
        if is_chosen || !model.target().is_imported() {
            return None;
        }
        let architecture = self.lookup.architecture(model.target()).await;
        let mut facts = Facts::clone(&model.facts);
        facts.architecture = Some(architecture?);
        Some(Arc::new(Model {
            facts: Arc::new(facts),
            ..Model::clone(model)
        }))
    }

    async fn plan<T: Operation>(&self, call: Call<T, Unplanned>) -> Result<Call<T>, Error> {
        let call = self.planned(call).await?;
        tracing::debug!(
            request_id = &*call.request_id,
            model = call.model.label(),
            target_model = call.model.target().id,
            route = call.plan.route.as_str(),
            reason = call.plan.reason.unwrap_or("first_route"),
            delivery = ?call.plan.delivery,
            "a route was chosen"
        );
        Ok(call)
    }

    async fn planned<T: Operation>(&self, mut call: Call<T, Unplanned>) -> Result<Call<T>, Error> {
        call.model = self.model(call.model).await;
        let refused = self.learned.refused(&call.model);
        if !refused.is_empty() {
            call.model = Arc::new(Model {
                refused,
                ..Model::clone(&call.model)
            });
        }
        let warnings = call.trace.warnings();
        warnings.about_model(&call.model);
        // Checked before anything that costs money.
        warnings.refuse_dropped(&call.model)?;
        let trace = call.trace.clone();
        let learned = self.learned.clone();
        trace
            .compute(move || {
                let plan = call.body.plan(&call.model, &call.caller)?;
                if let Some(model) = usable(&call.model, &plan, &learned) {
                    call.model = Arc::new(model);
                }
                if let Some(model) = catalogue::through_profile(&call.model, plan.route) {
                    let id = &model.target().id;
                    call.trace.warnings().add(format!(
                        "model: called as '{id}' (it is available only through an inference profile)"
                    ));
                    call.model = Arc::new(model);
                }
                Ok(call.with_plan(plan))
            })
            .await
    }
}

/// Returns `model` with the places that can answer a call of this plan, if it has others. A guardrail in the call exists in
/// one region only.
fn usable(model: &Model, plan: &Plan, learned: &LearnedRoutes) -> Option<Model> {
    let places = &model.targets.places;
    let is_guarded = plan.worst.guardrail != GuardrailFees::default();
    let first = model.target();
    let is_usable = |place: &&Arc<Model>| {
        let is_first = place.target() == first;
        is_first || (!is_guarded && !learned.refused(place).contains(&plan.route))
    };
    let usable: Vec<_> = places.iter().filter(is_usable).cloned().collect();
    (usable.len() < places.len()).then(|| model.clone().with_places(usable))
}

impl<S> Layer<S> for Resolve {
    type Service = ResolveService<S>;

    fn layer(&self, inner: S) -> ResolveService<S> {
        ResolveService {
            resolve: self.clone(),
            inner,
        }
    }
}

/// The service of [`Resolve`]. Calls outside of it have no plan; all calls inside have one.
#[derive(Clone)]
pub struct ResolveService<S> {
    resolve: Resolve,
    inner: S,
}

impl<T, S> Service<Call<T, Unplanned>> for ResolveService<S>
where
    T: Operation,
    S: Service<Call<T>, Response = Reply<T>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply<T>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Reply<T>, Error>>;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<T, Unplanned>) -> Self::Future {
        // Call the instance that was polled ready, because a clone need not be ready.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let resolve = self.resolve.clone();
        Box::pin(async move { ready.call(resolve.plan(call).await?).await })
    }
}

#[cfg(test)]
mod tests;
