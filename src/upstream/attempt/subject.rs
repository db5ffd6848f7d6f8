use std::{sync::Arc, time::Duration};

use crate::{
    call::{Call, Delivery, Trace},
    model::{RetryPolicy, Target, Targets},
};

/// The target of a request, and the call to account it to.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The model or Knowledge Base that receives the request.
    pub target: &'a Arc<Target>,
    /// The `model` label of metrics.
    pub label: &'a str,
    /// Number of attempts and the backoff between them.
    pub policy: RetryPolicy,
    /// The trace of the call; collects warnings and spending.
    pub trace: &'a Trace,
    /// The targets of the model, if the request can be sent to another one.
    pub(in crate::upstream) targets: Option<&'a Targets>,
    /// How long the first token of a stream may take while there is another target or another model.
    pub(in crate::upstream) first_token: Option<Duration>,
}

impl<'a> Subject<'a> {
    /// Returns the subject for requests to `target` and no other.
    pub fn new(
        target: &'a Arc<Target>,
        label: &'a str,
        policy: RetryPolicy,
        trace: &'a Trace,
    ) -> Self {
        Self {
            target,
            label,
            policy,
            trace,
            targets: None,
            first_token: None,
        }
    }

    /// Returns the subject for requests to the model of `call`.
    pub fn of<T>(call: &'a Call<T>) -> Self {
        let model = &call.model;
        let targets = Some(&model.targets).filter(|targets| !targets.places.is_empty());
        // The service compiles a schema before the first token, which would take as long elsewhere.
        let is_prompt = call.plan.delivery == Delivery::Stream && call.plan.compiles.is_none();
        let places = targets.map_or(1, |targets| targets.places.len());
        let others = u32::try_from(places).unwrap_or(u32::MAX) - 1;
        let others = others + u32::from(call.trace.has_fallback());
        let share = model.timeouts.first_token / (others + 1);
        Self {
            targets,
            first_token: (is_prompt && others > 0).then_some(share),
            ..Self::new(model.target(), model.label(), model.retry, &call.trace)
        }
    }

    /// The same for a request that no other target can answer.
    #[must_use]
    pub fn pinned(self) -> Self {
        Self {
            targets: None,
            first_token: None,
            ..self
        }
    }
}
