use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{RateLimits, Retrieval, Spending, Ticket, Warnings};
use crate::model::Target;

/// The one shared record of a call: what happens on the way is written here, and headers, ledger
/// and access log read it, also after the client has disconnected. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    warnings: Warnings,
    spending: Spending,
    rate_limits: Mutex<RateLimits>,
    attempts: AtomicU32,
    waited_nanos: AtomicU64,
    served_by: Mutex<Option<ServedBy>>,
    retrieval: OnceLock<Arc<Retrieval>>,
}

/// Where the last request of a call went.
#[derive(Clone, Debug)]
struct ServedBy {
    target: Arc<Target>,
    /// The model that a prompt router chose, as an ARN.
    invoked: Option<String>,
}

impl Trace {
    /// Everything that was dropped, clamped or emulated.
    pub fn warnings(&self) -> &Warnings {
        &self.0.warnings
    }

    /// What the call has cost so far.
    pub fn spending(&self) -> &Spending {
        &self.0.spending
    }

    /// Accounts for a request that is about to be sent. A ticket that is dropped counts as lost.
    pub fn ticket(&self) -> Ticket {
        self.0.spending.sent();
        Ticket::new(self.clone())
    }

    pub fn rate_limits(&self) -> RateLimits {
        *self
            .0
            .rate_limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_rate_limits(&self, change: impl FnOnce(&mut RateLimits)) {
        change(
            &mut self
                .0
                .rate_limits
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// One more request is sent to `target`.
    pub fn attempt(&self, target: &Arc<Target>) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        let served = ServedBy {
            target: target.clone(),
            invoked: None,
        };
        *self
            .0
            .served_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(served);
    }

    /// Requests sent to Bedrock, for all choices together.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// Adds the time since `start` to the time spent waiting for Bedrock.
    pub fn waited_since(&self, start: Instant) {
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Time spent waiting for Bedrock. The rest of a request's duration is the gateway's overhead.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.waited_nanos.load(Ordering::Relaxed))
    }

    /// The target of the last request, if one was sent.
    pub fn target(&self) -> Option<Arc<Target>> {
        let served = self
            .0
            .served_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        served.as_ref().map(|served| served.target.clone())
    }

    /// A prompt router chose the model with this ARN.
    pub fn set_invoked(&self, arn: String) {
        let mut served = self
            .0
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
            .served_by
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        served.as_ref().and_then(|served| served.invoked.clone())
    }

    /// Only the first retrieval counts.
    pub fn set_retrieval(&self, retrieval: Arc<Retrieval>) {
        let _ = self.0.retrieval.set(retrieval);
    }

    /// What Knowledge Bases found for the call.
    pub fn retrieval(&self) -> Option<&Arc<Retrieval>> {
        self.0.retrieval.get()
    }
}
