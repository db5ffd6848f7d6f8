//! The one loop around everything that calls AWS: it sends, counts, and tries again what may pass,
//! before anything has reached the client. Each request of a call is retried by itself, because what
//! its siblings answered is paid for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use tokio::time::sleep;
use tower::retry::budget::{Budget, TpsBudget};

use super::{
    Request, failure,
    transport::{Response, SendError, ServiceOperation, Transport, collected},
};
use crate::{
    call::{Call, Ticket, Trace},
    error::{Error, RetryAdvice},
    metrics,
    model::{RetryPolicy, Target},
};

/// Linkerd's defaults: retries may be a fifth of the requests of the last ten seconds, and ten a
/// second beside that. When much fails, more requests do not help.
const WINDOW: Duration = Duration::from_secs(10);
const PER_SECOND: u32 = 10;
const SHARE: f32 = 0.2;

/// Targets whose share is remembered; a raw id is one too.
const TARGETS: usize = 1000;

/// How much longer the pauses are while a model is being loaded.
const SLOWLY: u32 = 10;

/// More than any whole reply of the service.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// What is called, and for whom.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub target: &'a Arc<Target>,
    /// The `model` label of metrics.
    pub label: &'a str,
    pub policy: RetryPolicy,
    pub trace: &'a Trace,
}

impl<'a> Subject<'a> {
    /// A request of a call.
    pub fn of<T>(call: &'a Call<T>) -> Self {
        let model = &call.model;
        Self {
            target: model.target(),
            label: model.label(),
            policy: model.retry,
            trace: &call.trace,
        }
    }
}

/// Something that can be tried more than once.
pub trait Attempt: Send {
    type Output: Send;

    /// Sends one request and reads its reply.
    ///
    /// # Errors
    /// The failure, with advice on whether to try again.
    fn attempt(
        &mut self,
        send: Try<'_>,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// The way out for one attempt.
#[derive(Clone, Copy)]
pub struct Try<'a> {
    transport: &'a dyn Transport,
    subject: Subject<'a>,
}

impl Try<'_> {
    /// Sends `request`. The reply may have any status.
    ///
    /// # Errors
    /// If there is no reply.
    pub async fn send(self, request: Request) -> Result<Response, SendError> {
        self.transport.send(request, self.subject.target).await
    }

    /// Sends `request` to a model and returns the reply if its status is a success. The call
    /// records that it was sent.
    ///
    /// # Errors
    /// What the service, or the way to it, said.
    pub async fn send_model(self, request: Request) -> Result<Response, Error> {
        self.subject.trace.attempt(self.subject.target);
        let reply = self.send(request).await.map_err(failure::from_send)?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let (parts, body) = reply.into_parts();
        let body = collected(body, MAX_REPLY_BYTES).await.unwrap_or_default();
        Err(failure::from_reply(parts.status, &parts.headers, &body))
    }
}

impl Try<'_> {
    /// Accounts for the request that `work` makes. Only what the service rejected is not on the
    /// bill; the ticket of a success is settled by who knows its usage.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn billed<O>(
        self,
        work: impl Future<Output = Result<O, Error>>,
    ) -> Result<(O, Ticket), Error> {
        let ticket = self.subject.trace.ticket();
        match work.await {
            Ok(output) => Ok((output, ticket)),
            Err(error) => {
                if !error.is_perhaps_billed() {
                    ticket.free();
                }
                Err(error)
            }
        }
    }
}

/// Attempts of all calls, and what they share.
pub struct Attempts {
    transport: Arc<dyn Transport>,
    budgets: Cache<String, Arc<TpsBudget>>,
}

impl Attempts {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            budgets: Cache::new(TARGETS),
        }
    }

    /// Tries until it succeeds, or trying again cannot help or is not allowed.
    ///
    /// # Errors
    /// The last failure.
    pub async fn run<A: Attempt>(
        &self,
        subject: Subject<'_>,
        operation: ServiceOperation,
        mut attempt: A,
    ) -> Result<A::Output, Error> {
        let budget = self.budget(subject.target);
        budget.deposit();
        let mut made = 0;
        loop {
            let mut guard = AttemptGuard {
                subject,
                retried: made > 0,
                code: "abandoned",
            };
            let send = Try {
                transport: &*self.transport,
                subject,
            };
            let result = attempt.attempt(send).await;
            guard.code = result.as_ref().err().map_or("ok", Error::label);
            drop(guard);
            let error = match result {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            made += 1;
            self.pause(subject, operation, &budget, made, error).await?;
        }
    }

    fn budget(&self, target: &Target) -> Arc<TpsBudget> {
        let new = || Ok::<_, Infallible>(Arc::new(TpsBudget::new(WINDOW, PER_SECOND, SHARE)));
        let key = format!("{} {}", target.region, target.id);
        self.budgets
            .get_or_insert_with(&key, new)
            .unwrap_or_else(|never| match never {})
    }

    /// Waits until another attempt may be made.
    ///
    /// # Errors
    /// `error`, if there should be no other attempt.
    async fn pause(
        &self,
        subject: Subject<'_>,
        operation: ServiceOperation,
        budget: &TpsBudget,
        made: u32,
        error: Error,
    ) -> Result<(), Error> {
        let Subject {
            target,
            label,
            policy,
            trace,
        } = subject;
        let advice = error.retry_advice();
        let Some(pause) = pause(advice, made, policy) else {
            return Err(error);
        };
        // What is lost may be on the bill, and must not be there twice unless there is money for
        // that.
        if error.is_perhaps_billed() && !trace.spending().may_repeat() {
            return Err(error);
        }
        if !budget.withdraw() {
            metrics::retry_budget_exhausted(&target.region, label);
            return Err(error);
        }
        if advice == RetryAdvice::Refreshed {
            self.transport.refresh(operation, target);
        }
        metrics::upstream_retry(&target.region, label);
        let code = error.code().unwrap_or_default();
        trace
            .warnings()
            .add(format!("attempts: Bedrock was asked again after '{code}'"));
        drop(error);
        sleep(pause).await;
        Ok(())
    }
}

/// Counts a request however it ends; `abandoned` means that the deadline passed or the client
/// disconnected.
struct AttemptGuard<'a> {
    subject: Subject<'a>,
    retried: bool,
    code: &'static str,
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        let Subject { target, label, .. } = self.subject;
        metrics::upstream_request(&target.region, label, self.code, self.retried);
    }
}

/// The pause after `made` attempts, or `None` if there should be no other. Any part of the longest
/// pause, so that requests that failed together do not come back together.
fn pause(advice: RetryAdvice, made: u32, policy: RetryPolicy) -> Option<Duration> {
    let (attempts, slower) = match advice {
        RetryAdvice::Never => return None,
        RetryAdvice::Once | RetryAdvice::Refreshed => (policy.attempts.min(2), 1),
        RetryAdvice::Often => (policy.attempts, 1),
        RetryAdvice::Slowly => (policy.attempts, SLOWLY),
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
        use RetryAdvice::{Never, Often, Once, Slowly};
        let policy = RetryPolicy {
            attempts: 4,
            ..RetryPolicy::default()
        };
        assert_eq!(pause(Never, 1, policy), None);
        assert!(pause(Once, 1, policy).is_some() && pause(Once, 2, policy).is_none());
        for (advice, made, longest) in [(Often, 1, 100), (Often, 3, 400), (Slowly, 3, 4000)] {
            let pause = pause(advice, made, policy).unwrap();
            assert!(pause <= Duration::from_millis(longest), "{advice:?} {made}");
        }
        assert_eq!(pause(Often, 4, policy), None);
        let one = RetryPolicy {
            attempts: 1,
            ..policy
        };
        assert_eq!(pause(Often, 1, one), None, "one attempt is no retry");
        let huge = RetryPolicy {
            attempts: 10,
            base: policy.cap,
            cap: policy.cap,
        };
        assert!(pause(Slowly, 9, huge).unwrap() <= policy.cap);
    }
}
