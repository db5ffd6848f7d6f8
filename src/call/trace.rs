use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{RateLimits, Retrieval, SentMark, Spending, Ticket, Warnings, retrieval::GUARDRAIL};
use crate::{model::Target, money::NanoUsd};

/// The shared record of a call. The stages of the call write to it; response headers, ledger and access log read it,
/// even after the client has disconnected. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trace(pub(super) Arc<Inner>);

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    /// The attempts before this model was called.
    attempts_before: u32,
    spending: Spending,
    schema_unenforced: AtomicBool,
    judging: AtomicU32,
    charged: OnceLock<NanoUsd>,
    /// The trace of the model that the call fell back to.
    fallback: OnceLock<Trace>,
    retrieval: OnceLock<Arc<Retrieval>>,
    /// Replaces `retrieval` once its passages were blocked.
    withheld: OnceLock<Arc<Retrieval>>,
}

/// What the models of a call have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Empty if no request of a client made the call.
    request_id: Arc<str>,
    /// The request's body is large.
    pub(super) is_large: AtomicBool,
    warnings: Warnings,
    rate_limits: Mutex<RateLimits>,
    attempts: AtomicU32,
    client_gone: AtomicBool,
    waited_nanos: AtomicU64,
    served_by: Mutex<Option<ServedBy>>,
    deadline: OnceLock<tokio::time::Instant>,
    /// The time limit that the request sets for itself.
    own_timeout: OnceLock<Duration>,
    /// How many other models are called if this one fails.
    fallbacks_left: AtomicU32,
    /// The client has named them.
    has_chosen_fallbacks: AtomicBool,
}

/// The target of a call's last request.
#[derive(Clone, Debug)]
pub struct ServedBy {
    target: Arc<Target>,
    /// The model that a prompt router chose, as an ARN.
    invoked: Option<String>,
}

/// A question to a guardrail; see [`Trace::judging`].
#[derive(Debug)]
pub struct Judging(Trace);

impl Judging {
    /// Records that the guardrail answered.
    pub fn answered(self) {
        let Self(trace) = self;
        trace.0.judging.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Trace {
    /// Creates the trace of the call that the request with this id makes.
    pub fn of_request(request_id: Arc<str>) -> Self {
        let shared = Arc::new(Shared {
            request_id,
            ..Shared::default()
        });
        Self(Arc::new(Inner {
            shared,
            ..Inner::default()
        }))
    }

    /// Returns the id of the client's request, for the log.
    pub fn request_id(&self) -> &str {
        &self.0.shared.request_id
    }

    /// The warnings about what was dropped, clamped or emulated.
    pub fn warnings(&self) -> &Warnings {
        &self.0.shared.warnings
    }

    /// The cost of the call so far.
    pub fn spending(&self) -> &Spending {
        &self.0.spending
    }

    /// Records what the call was charged. Only the first call has an effect.
    pub fn set_charged(&self, cost: NanoUsd) {
        let _ = self.0.charged.set(cost);
    }

    /// What the call was charged, once it has ended, for all its models.
    pub fn charged(&self) -> Option<NanoUsd> {
        let own = self.0.charged.get().copied();
        match self.0.fallback.get().and_then(Self::charged) {
            Some(later) => Some(own.unwrap_or_default() + later),
            None => own,
        }
    }

    /// Returns a trace for another model, which the call falls back to. It has a cost of its own, and shares with this one
    /// what the client is told. Only the first call has an effect on the total.
    #[must_use]
    pub fn fall_back(&self) -> Self {
        let before = self.spending().charged_before();
        let own = self.0.charged.get().copied().unwrap_or_default();
        let fallback = Self(Arc::new(Inner {
            shared: self.0.shared.clone(),
            attempts_before: self.attempts(),
            spending: Spending::after(before + own),
            ..Inner::default()
        }));
        let _ = self.0.fallback.set(fallback.clone());
        fallback
    }

    /// Returns the target of the last request, so that it can be [restored](Self::restore_served).
    pub fn served(&self) -> Option<ServedBy> {
        let served = &self.0.shared.served_by;
        served
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Records that an earlier reply is the answer after all.
    pub fn restore_served(&self, served: Option<ServedBy>) {
        let of_call = &self.0.shared.served_by;
        *of_call.lock().unwrap_or_else(PoisonError::into_inner) = served;
    }

    /// Returns the trace of the model that the call fell back to last, or this one.
    pub fn last(&self) -> &Self {
        self.0.fallback.get().map_or(self, Self::last)
    }

    /// Records how many other models are called if this one fails.
    pub fn set_fallbacks_left(&self, models: usize) {
        let left = u32::try_from(models).unwrap_or(u32::MAX - 1);
        let of_call = &self.0.shared.fallbacks_left;
        of_call.store(left.min(u32::MAX / 2), Ordering::Relaxed);
    }

    /// How many other models are called if this one fails.
    pub fn fallbacks_left(&self) -> u32 {
        self.0.shared.fallbacks_left.load(Ordering::Relaxed)
    }

    /// Records that the client has named the other models.
    pub fn set_chosen_fallbacks(&self) {
        let flag = &self.0.shared.has_chosen_fallbacks;
        flag.store(true, Ordering::Relaxed);
    }

    /// Reports whether the client has a part in the time that each target has.
    pub fn is_shortened(&self) -> bool {
        let shared = &self.0.shared;
        shared.own_timeout.get().is_some() || shared.has_chosen_fallbacks.load(Ordering::Relaxed)
    }

    /// Reports whether the time limit of the call has not passed.
    pub fn has_time(&self) -> bool {
        let deadline = self.0.shared.deadline.get();
        deadline.is_none_or(|deadline| *deadline > tokio::time::Instant::now())
    }

    /// Returns `limit`, or what is left of the time limit of the call if that is less.
    pub fn time_left(&self, limit: Duration) -> Duration {
        let now = tokio::time::Instant::now();
        let deadline = self.0.shared.deadline.get();
        deadline.map_or(limit, |deadline| {
            limit.min(deadline.saturating_duration_since(now))
        })
    }

    /// Returns what is left of the time limit of the call. The first call sets it to `limit`, and later ones, for other
    /// models, get no more than that.
    pub fn time_within(&self, limit: Duration) -> Duration {
        let now = tokio::time::Instant::now();
        let deadline = *self.0.shared.deadline.get_or_init(|| now + limit);
        limit.min(deadline.saturating_duration_since(now))
    }

    /// Accounts for a request that is about to be sent. It is free until `sent` is set.
    pub fn ticket(&self, sent: &SentMark) -> Ticket {
        Ticket::new(self.clone(), sent.clone())
    }

    /// Sets the time limit of the request itself, which may shorten those of any model. Only the first call has an effect.
    pub fn set_own_timeout(&self, limit: Duration) {
        let _ = self.0.shared.own_timeout.set(limit);
    }

    /// Returns `limit`, or the request's own time limit if that is shorter.
    pub fn shortened(&self, limit: Duration) -> Duration {
        let own = self.0.shared.own_timeout.get();
        own.map_or(limit, |own| limit.min(*own))
    }

    /// The state of the tightest rate limits.
    pub fn rate_limits(&self) -> RateLimits {
        *self
            .0
            .shared
            .rate_limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the state of the tightest rate limits.
    pub fn set_rate_limits(&self, change: impl FnOnce(&mut RateLimits)) {
        change(
            &mut self
                .0
                .shared
                .rate_limits
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Records that a request is sent to `target`.
    pub fn attempt(&self, target: &Arc<Target>) {
        self.0.shared.attempts.fetch_add(1, Ordering::Relaxed);
        self.set_target(target);
    }

    /// Records that the answer comes from `target`, although a request was sent to another one later.
    pub fn set_target(&self, target: &Arc<Target>) {
        let served = ServedBy {
            target: target.clone(),
            invoked: None,
        };
        *self
            .0
            .shared
            .served_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(served);
    }

    /// The number of requests sent to Bedrock, for all choices together.
    pub fn attempts(&self) -> u32 {
        self.0.shared.attempts.load(Ordering::Relaxed)
    }

    /// The number of requests sent for the model of this trace.
    pub fn own_attempts(&self) -> u32 {
        self.attempts().saturating_sub(self.0.attempts_before)
    }

    /// Adds the time since `start` to the time spent waiting for AWS.
    pub fn waited_since(&self, start: Instant) {
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0
            .shared
            .waited_nanos
            .fetch_add(nanos, Ordering::Relaxed);
    }

    /// The time spent waiting for AWS. The rest of a request's duration is the gateway's overhead.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.shared.waited_nanos.load(Ordering::Relaxed))
    }

    /// The target of the last request, if one was sent.
    pub fn target(&self) -> Option<Arc<Target>> {
        let served = self
            .0
            .shared
            .served_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        served.as_ref().map(|served| served.target.clone())
    }

    /// Records the ARN of the model that a prompt router chose.
    pub fn set_invoked(&self, arn: String) {
        let mut served = self
            .0
            .shared
            .served_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = &mut *served {
            served.invoked = Some(arn);
        }
    }

    /// The ARN of the model that a prompt router chose.
    pub fn invoked(&self) -> Option<String> {
        let served = self
            .0
            .shared
            .served_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        served.as_ref().and_then(|served| served.invoked.clone())
    }

    /// Records that nobody waits for the rest of the reply.
    pub fn set_client_gone(&self) {
        self.0.shared.client_gone.store(true, Ordering::Relaxed);
    }

    /// Reports whether the client disconnected, or its reply failed. The gateway reads the replies to what it sent, and
    /// sends nothing new.
    pub fn is_client_gone(&self) -> bool {
        self.0.shared.client_gone.load(Ordering::Relaxed)
    }

    /// Records that a guardrail is asked, until [`Judging::answered`]. A call that ends before waited for it.
    pub fn judging(&self) -> Judging {
        self.0.judging.fetch_add(1, Ordering::Relaxed);
        Judging(self.clone())
    }

    /// Reports whether the call waits for a guardrail.
    pub fn is_judging(&self) -> bool {
        self.0.judging.load(Ordering::Relaxed) > 0
    }

    /// Records that the answer should fit a schema that the service does not enforce.
    pub fn set_schema_unenforced(&self) {
        self.0.schema_unenforced.store(true, Ordering::Relaxed);
    }

    /// Reports whether the answer should fit a schema that the service does not enforce.
    pub fn is_schema_unenforced(&self) -> bool {
        self.0.schema_unenforced.load(Ordering::Relaxed)
    }

    /// Sets the outcome of the retrieval. Only the first call has an effect.
    pub fn set_retrieval(&self, retrieval: Arc<Retrieval>) {
        let _ = self.0.retrieval.set(retrieval);
    }

    /// Removes the passages from the outcome of the retrieval, because a guardrail blocked the prompt with them.
    pub fn withhold_retrieval(&self) {
        if let Some(retrieval) = self.0.retrieval.get() {
            let withheld = Retrieval {
                passages: Vec::new(),
                reason: Some(GUARDRAIL),
                context_chars: 0,
                ..Retrieval::clone(retrieval)
            };
            let _ = self.0.withheld.set(Arc::new(withheld));
        }
    }

    /// The outcome of the retrieval, if the call requested one and it has ended.
    pub fn retrieval(&self) -> Option<&Arc<Retrieval>> {
        self.0.withheld.get().or_else(|| self.0.retrieval.get())
    }
}
