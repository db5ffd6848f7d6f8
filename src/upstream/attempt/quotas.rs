//! Whether AWS would admit a call, for decisions before it is reserved.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    admission::{Admission, may_wait_again},
    choice::Choice,
    registry::Registry,
};
use crate::{call::Call, error::Error, metrics, model::Strategy, operation::Operation};

/// The shortest pause before a call that AWS has throttled is sent again.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// What is known of the quotas of targets, and which calls wait for them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Quotas {
    pub(super) registry: Registry,
    pub(super) admission: Admission,
}

impl Quotas {
    /// Reports whether `call` fits into the quota of a target now, by the estimate. True unless its model has the strategy
    /// `headroom`.
    pub fn admit<T: Operation>(&self, call: &Call<T>) -> bool {
        call.model.targets.strategy != Strategy::Headroom
            || self.admission.has_room(&self.registry, call)
    }

    /// Waits for as long as AWS wants to be left alone, so that `call`, which has waited since `since` and was throttled with
    /// `error`, can return to its line. Returns false if it must not be sent again.
    pub async fn returns<T: Operation>(
        &self,
        call: &Call<T>,
        error: &Error,
        since: Instant,
    ) -> bool {
        let model = &call.model;
        let left = model.targets.queue.unwrap_or_default();
        let left = left.saturating_sub(since.elapsed());
        let choice = Choice::new(&self.registry, &model.targets, model.label());
        let pause = choice.rest().max(LEAST_PAUSE);
        let may_return = may_wait_again(call, error) && pause < left;
        if !may_return || !choice.healths[0].budget.withdraw() {
            return false;
        }
        sleep(pause).await;
        metrics::upstream_retry(&model.target().region, model.label());
        !call.trace.is_client_gone()
    }
}
