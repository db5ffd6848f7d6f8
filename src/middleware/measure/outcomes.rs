//! How the last calls of each model ended, as operators see it. Only calls of clients count: nothing is sent to find out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::error::{Error, Kind};

/// The number of calls that the share of failures covers.
const CALLS: u32 = 100;

/// The outcomes of the calls of all models, by their `model` label of metrics. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outcomes(Arc<Mutex<BTreeMap<String, ModelOutcomes>>>);

impl Outcomes {
    /// Returns those of the model with this label.
    pub fn of(&self, label: &str) -> ModelOutcomes {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.entry(label.to_owned()).or_default().clone()
    }
}

/// The outcomes of the calls of one model. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ModelOutcomes(Arc<Mutex<RecentCalls>>);

/// How the last calls of a model ended. Calls that the gateway or the client ended are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentCalls {
    pub last_success: Option<Timestamp>,
    /// When a call failed last, and the code of its error.
    pub last_failure: Option<(Timestamp, &'static str)>,
    /// The number of calls that are known, at most [`CALLS`].
    pub calls: u32,
    /// One bit per call, the last one lowest, set if it failed.
    failures: u128,
}

impl RecentCalls {
    /// The number of the last calls that failed.
    pub fn failed(&self) -> u32 {
        self.failures.count_ones()
    }

    fn add(&mut self, failed: bool) {
        self.calls = (self.calls + 1).min(CALLS);
        let known = (1u128 << CALLS) - 1;
        self.failures = (self.failures << 1 | u128::from(failed)) & known;
    }
}

impl ModelOutcomes {
    /// Returns how the last calls ended.
    pub fn recent(&self) -> RecentCalls {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a call that the model answered.
    pub fn succeeded(&self) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.add(false);
        recent.last_success = Some(Timestamp::now());
    }

    /// Records a call that failed with `code` on the side of Bedrock.
    pub fn failed(&self, code: &'static str) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.add(true);
        recent.last_failure = Some((Timestamp::now(), code));
    }

    /// Records a call that failed with `error`, unless the fault is the client's or the gateway's.
    pub fn failed_with(&self, error: &Error) {
        let is_upstream = matches!(
            error.kind(),
            Kind::Upstream
                | Kind::UpstreamUnavailable
                | Kind::UpstreamTimeout
                | Kind::UpstreamThrottle
                | Kind::UpstreamQuota
        );
        if is_upstream {
            self.failed(error.label());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_hundred_calls_count() {
        let outcomes = Outcomes::default();
        let model = outcomes.of("fast");
        (0..50).for_each(|_| model.failed("upstream_error"));
        (0..70).for_each(|_| model.succeeded());
        let recent = outcomes.of("fast").recent();
        assert_eq!((recent.calls, recent.failed()), (100, 30));
        assert_eq!(outcomes.of("other").recent(), RecentCalls::default());
    }

    #[test]
    fn errors_of_clients_and_of_the_gateway_say_nothing_about_the_model() {
        let model = ModelOutcomes::default();
        for kind in [Kind::InvalidRequest, Kind::RateLimited, Kind::BudgetSpent] {
            model.failed_with(&Error::new(kind, "No."));
        }
        assert_eq!(model.recent(), RecentCalls::default());
        model.failed_with(&Error::new(Kind::UpstreamThrottle, "Later.").with_code("throttled"));
        let recent = model.recent();
        assert_eq!((recent.calls, recent.failed()), (1, 1));
        assert_eq!(recent.last_failure.map(|(_, code)| code), Some("throttled"));
    }
}
