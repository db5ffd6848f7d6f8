use std::{sync::Arc, time::Duration};

use crate::{
    call::{Call, Caller, Delivery, Trace},
    model::{RetryPolicy, Strategy, Target, Targets},
    operation::Operation,
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
    /// Who calls a model. `None` for guardrails and Knowledge Bases, whose requests AWS attributes to nobody.
    pub(in crate::upstream) caller: Option<&'a Caller>,
    /// The targets of the model, if the request can be sent to another one.
    pub(in crate::upstream) targets: Option<&'a Targets>,
    /// How long the first token of a stream may take while there is another target or another model.
    pub(in crate::upstream) first_token: Option<Duration>,
    /// How long a whole reply may take while there is another one, if the request finds out whether its target works again.
    pub(in crate::upstream) probe: Option<Duration>,
    /// The time after which a request that was abandoned shows that the target does not answer. A client can set a shorter
    /// time, which must not affect others.
    pub(in crate::upstream) limit: Option<Duration>,
    /// The tokens of the quota that AWS counts the request with at first, and for each token of output in the end. `None`
    /// if the strategy does not need to know.
    pub(in crate::upstream) quota: Option<(u64, u32)>,
    /// If AWS throttles the request, the call returns to its line.
    pub(in crate::upstream) has_line: bool,
    /// The request asks for a stream.
    pub(in crate::upstream) is_stream: bool,
    /// The receiver is a model, not a guardrail or a Knowledge Base.
    pub(in crate::upstream) is_model: bool,
    /// The client has part in `first_token`.
    pub(in crate::upstream) is_shortened: bool,
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
            caller: None,
            targets: None,
            first_token: None,
            probe: None,
            limit: None,
            quota: None,
            has_line: false,
            is_stream: false,
            is_model: false,
            is_shortened: false,
        }
    }

    /// Returns the subject for requests to the model of `call`.
    pub fn of<T: Operation>(call: &'a Call<T>) -> Self {
        let model = &call.model;
        let targets = Some(&model.targets).filter(|targets| !targets.places.is_empty());
        let is_stream = call.plan.delivery == Delivery::Stream;
        let places = targets.map_or(1, |targets| targets.places.len());
        let others = u32::try_from(places).unwrap_or(u32::MAX) - 1;
        let others = others + call.trace.fallbacks_left();
        let limit = match is_stream {
            true => model.timeouts.first_token,
            false => model.timeouts.whole,
        };
        let share = call.trace.time_left(call.trace.shortened(limit)) / (others + 1);
        // The service compiles a schema before the first token, which would take as long elsewhere.
        let share = (call.plan.compiles.is_none() && others > 0).then_some(share);
        let needs_quota = model.targets.strategy == Strategy::Headroom;
        Self {
            quota: needs_quota.then(|| (quota_of(call), model.facts.quota_per_output)),
            // Other requests of the call may be billed already.
            has_line: needs_quota && model.targets.queue.is_some() && call.plan.worst.requests <= 1,
            is_stream,
            caller: Some(&call.caller),
            is_model: true,
            is_shortened: call.trace.is_shortened(),
            // Less than the whole limit, of which the rest of the call takes a part.
            limit: Some(limit / 10 * 9),
            targets,
            first_token: share.filter(|_| is_stream),
            probe: share.filter(|_| !is_stream),
            ..Self::new(model.target(), model.label(), model.retry, &call.trace)
        }
    }

    /// The same for a request that continues an answer, and whose first token may take `limit`. The time limit of the call
    /// has ended with its first token.
    #[must_use]
    pub fn resumed(self, limit: Duration) -> Self {
        let places = self.targets.map_or(1, |targets| targets.places.len());
        let share = limit / u32::try_from(places).unwrap_or(u32::MAX);
        Self {
            first_token: (places > 1).then_some(share),
            ..self
        }
    }

    /// The same for a request that no other target can answer.
    #[must_use]
    pub fn pinned(self) -> Self {
        Self {
            targets: None,
            first_token: None,
            probe: None,
            ..self
        }
    }
}

/// The tokens that AWS admits each request of `call` with.
fn quota_of<T: Operation>(call: &Call<T>) -> u64 {
    call.body.admitted_tokens(&call.model) / u64::from(call.plan.worst.requests.max(1))
}
