//! Failures that may pass are tried again, before anything has reached the client. Each of the `n` answers is retried by
//! itself: what its siblings have said is paid for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use tokio::time::sleep;
use tower::retry::budget::{Budget, TpsBudget};

use super::transport::{Operation, Transport};
use crate::{
    call::{Call, Notes, RetryPolicy, Spending, Target},
    error::{Again, Error},
    metrics,
};

/// Linkerd's defaults: retries may be a fifth of the calls of the last ten seconds, and ten a second beside it. When much
/// fails, more calls are no help.
const WINDOW: Duration = Duration::from_secs(10);
const PER_SECOND: u32 = 10;
const SHARE: f32 = 0.2;

/// Targets whose share is remembered; a raw id is one too.
const TARGETS: usize = 1000;

/// How much longer the pauses are while a model is being loaded.
const SLOWLY: u32 = 10;

/// The gateway's own patience with Bedrock.
pub struct Retries {
    budgets: Cache<String, Arc<TpsBudget>>,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            budgets: Cache::new(TARGETS),
        }
    }
}

impl Retries {
    /// A call that has not been made yet.
    pub fn begin<'a>(&self, transport: &'a dyn Transport, subject: Subject<'a>) -> Attempts<'a> {
        let target = subject.target;
        let new = || Ok::<_, Infallible>(Arc::new(TpsBudget::new(WINDOW, PER_SECOND, SHARE)));
        let budget = self
            .budgets
            .get_or_insert_with(&format!("{} {}", target.region, target.id), new);
        let budget = budget.unwrap_or_else(|never| match never {});
        budget.deposit();
        Attempts {
            transport,
            subject,
            budget,
            made: 0,
        }
    }
}

/// What is called, and for whom.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub operation: Operation,
    pub target: &'a Target,
    /// The `model` label of metrics.
    pub label: &'a str,
    pub policy: RetryPolicy,
    pub notes: &'a Notes,
    pub spending: &'a Spending,
}

impl<'a> Subject<'a> {
    /// A call of a model.
    pub fn of<B>(call: &'a Call<B>) -> Self {
        let model = &call.model;
        Self {
            operation: Operation::Converse,
            target: &model.target,
            label: model.label(),
            policy: model.retry,
            notes: &call.notes,
            spending: &call.spending,
        }
    }
}

/// The attempts of one call.
pub struct Attempts<'a> {
    transport: &'a dyn Transport,
    subject: Subject<'a>,
    budget: Arc<TpsBudget>,
    made: u32,
}

impl Attempts<'_> {
    /// The attempt to come is not the first.
    pub fn is_repeated(&self) -> bool {
        self.made > 0
    }

    /// Waits until another attempt may be made.
    ///
    /// # Errors
    /// `error`, where trying again is pointless.
    pub async fn after(&mut self, error: Error) -> Result<(), Error> {
        self.made += 1;
        let Subject {
            operation,
            target,
            label,
            policy,
            notes,
            spending,
        } = self.subject;
        let again = error.how_often_again();
        let Some(pause) = pause(again, self.made, policy) else {
            return Err(error);
        };
        // What is lost may be on the bill, and must not be there twice unless there is money for that.
        if error.is_perhaps_billed() && !spending.allows_another() {
            return Err(error);
        }
        if !self.budget.withdraw() {
            metrics::retry_budget_exhausted(&target.region, label);
            return Err(error);
        }
        if again == Again::Refreshed {
            self.transport.refresh(operation, target);
        }
        metrics::upstream_retry(&target.region, label);
        notes.add(format!(
            "attempts: Bedrock was asked again after '{}'",
            error.code().unwrap_or_default()
        ));
        drop(error);
        sleep(pause).await;
        Ok(())
    }
}

/// How long to wait after `made` attempts; none if there should be no other. Any part of the longest pause, so that calls
/// that failed together do not come back together.
fn pause(again: Again, made: u32, policy: RetryPolicy) -> Option<Duration> {
    let (attempts, slower) = match again {
        Again::Never => return None,
        Again::Once | Again::Refreshed => (policy.attempts.min(2), 1),
        Again::Often => (policy.attempts, 1),
        Again::Slowly => (policy.attempts, SLOWLY),
    };
    if made >= attempts {
        return None;
    }
    let longest = (policy.base * slower * 2u32.saturating_pow(made - 1)).min(policy.cap);
    Some(longest.mul_f64(fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let policy = RetryPolicy {
            attempts: 4,
            ..RetryPolicy::default()
        };
        assert_eq!(pause(Again::Never, 1, policy), None);
        assert!(pause(Again::Once, 1, policy).is_some() && pause(Again::Once, 2, policy).is_none());
        for (again, made, longest) in [
            (Again::Often, 1, 100),
            (Again::Often, 3, 400),
            (Again::Slowly, 3, 4000),
        ] {
            assert!(
                pause(again, made, policy).unwrap() <= Duration::from_millis(longest),
                "{again:?} {made}"
            );
        }
        assert_eq!(pause(Again::Often, 4, policy), None);
        let one = RetryPolicy {
            attempts: 1,
            ..policy
        };
        assert_eq!(pause(Again::Often, 1, one), None, "one attempt is no retry");
        let huge = RetryPolicy {
            attempts: 10,
            base: policy.cap,
            cap: policy.cap,
        };
        assert!(pause(Again::Slowly, 9, huge).unwrap() <= policy.cap);
    }
}
