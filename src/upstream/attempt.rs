//! The retry loop around every request to AWS: sends it, counts it, and retries transient failures
//! as long as nothing has reached the client. Each request of a call is retried separately, because
//! the replies to its siblings are already billed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use tokio::time::sleep;

use super::{
    Request, abandoned, collected, failure,
    retry_budget::RetryBudget,
    transport::{Response, SendError, ServiceOperation, Transport},
};
use crate::{
    call::{Call, SentMark, Ticket, Trace},
    error::{Error, RetryAdvice},
    metrics,
    model::{RetryPolicy, Target},
};

/// Number of retry budgets kept, one per target. Bounded because clients may send raw model ids.
const MAX_BUDGETS: usize = 1000;

/// Factor applied to the backoff while Bedrock loads a model.
const SLOW_BACKOFF_FACTOR: u32 = 10;

/// Cap on the body of a reply, in bytes; larger than any reply of the service.
const MAX_REPLY_BYTES: usize = 64 << 20;

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
}

impl<'a> Subject<'a> {
    /// Returns the subject for requests to the model of `call`.
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

/// A request that can be sent more than once.
pub trait Attempt: Send {
    /// The result of a successful attempt.
    type Output: Send;

    /// Sends one request and reads its reply.
    ///
    /// # Errors
    /// The failure, with advice on whether to retry.
    fn attempt(
        &mut self,
        send: Try<'_>,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;

    /// Reports whether the call still has a use for the result. If not, a failure is not retried.
    fn is_wanted(&self) -> bool {
        true
    }
}

/// Sends the request of one attempt.
#[derive(Clone, Copy)]
pub struct Try<'a> {
    transport: &'a dyn Transport,
    subject: Subject<'a>,
    sent: &'a SentMark,
}

impl Try<'_> {
    /// Returns the mark that is set once the request of this attempt leaves.
    pub fn sent(self) -> SentMark {
        self.sent.clone()
    }

    /// Sends `request` and returns the reply, whatever its status.
    ///
    /// # Errors
    /// If no reply arrives.
    pub async fn send(self, request: Request) -> Result<Response, SendError> {
        self.transport
            .send(request, self.subject.target, self.sent)
            .await
    }

    /// Sends `request` to a model and records the attempt in the call's trace.
    ///
    /// # Errors
    /// If no reply arrives, or its status is not 2xx.
    pub async fn send_model(self, request: Request) -> Result<Response, Error> {
        self.subject.trace.attempt(self.subject.target);
        let reply = self.send(request).await;
        if self.sent.is_repeated() {
            self.subject.trace.attempt(self.subject.target);
            self.subject.trace.warnings().add(
                "attempts: the request to Bedrock was signed and sent again (the clock of the gateway differs from that of AWS)",
            );
        }
        let reply = reply.map_err(failure::from_send)?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let (parts, body) = reply.into_parts();
        let body = collected(body, MAX_REPLY_BYTES).await.unwrap_or_default();
        Err(failure::from_reply(parts.status, &parts.headers, &body))
    }
}

impl Try<'_> {
    /// Runs `work`, which sends one request, and returns its output with the request's ticket. The
    /// caller settles the ticket once the usage is known. On failure the ticket is freed only if the
    /// service certainly did not bill the request.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn billed<O>(
        self,
        work: impl Future<Output = Result<O, Error>>,
    ) -> Result<(O, Ticket), Error> {
        let ticket = self.subject.trace.ticket(self.sent);
        match work.await {
            Ok(output) => Ok((output, ticket)),
            Err(error) => {
                if !error.is_perhaps_billed() {
                    ticket.free();
                } else if error.is_without_output() {
                    ticket.unanswered();
                }
                Err(error)
            }
        }
    }
}

/// Runs the attempts of all calls and holds the retry budgets that they share.
pub struct Attempts {
    transport: Arc<dyn Transport>,
    budgets: Cache<String, Arc<RetryBudget>>,
}

impl Attempts {
    /// Creates a runner that sends over `transport`.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            budgets: Cache::new(MAX_BUDGETS),
        }
    }

    /// Runs `attempt` until it succeeds, or a retry cannot help or is not allowed.
    ///
    /// # Errors
    /// The last failure, or that the client has disconnected.
    pub async fn run<A: Attempt>(
        &self,
        subject: Subject<'_>,
        operation: ServiceOperation,
        mut attempt: A,
    ) -> Result<A::Output, Error> {
        // Whatever the call has waited for, nothing new is sent for a client that has gone.
        if subject.trace.is_client_gone() {
            return Err(abandoned());
        }
        let budget = self.budget(subject.target);
        budget.deposit();
        let mut made = 0;
        loop {
            let mut guard = AttemptGuard {
                subject,
                retried: made > 0,
                code: "abandoned",
            };
            let sent = SentMark::default();
            let send = Try {
                transport: &*self.transport,
                subject,
                sent: &sent,
            };
            let result = attempt.attempt(send).await;
            guard.code = result.as_ref().err().map_or("ok", Error::label);
            drop(guard);
            let error = match result {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            made += 1;
            let is_wanted = || attempt.is_wanted() && !subject.trace.is_client_gone();
            let retries =
                is_wanted() && self.pause(subject, operation, &budget, made, &error).await;
            if !retries || !is_wanted() {
                return Err(error);
            }
        }
    }

    fn budget(&self, target: &Target) -> Arc<RetryBudget> {
        let new = || Ok::<_, Infallible>(Arc::new(RetryBudget::new()));
        let key = format!("{} {}", target.region, target.id);
        self.budgets
            .get_or_insert_with(&key, new)
            .unwrap_or_else(|never| match never {})
    }

    /// Waits for the backoff before the next attempt. Returns false at once if `error` must not be
    /// retried.
    async fn pause(
        &self,
        subject: Subject<'_>,
        operation: ServiceOperation,
        budget: &RetryBudget,
        made: u32,
        error: &Error,
    ) -> bool {
        let Subject {
            target,
            label,
            policy,
            trace,
        } = subject;
        let advice = error.retry_advice();
        let Some(pause) = pause(advice, made, policy) else {
            return false;
        };
        // Bedrock may have billed the failed attempt, so a retry can cost twice the reservation.
        if error.is_perhaps_billed() && !trace.spending().may_repeat().await {
            return false;
        }
        if !budget.withdraw() {
            metrics::retry_budget_exhausted(&target.region, label);
            return false;
        }
        if advice == RetryAdvice::Refreshed {
            self.transport.refresh(operation, target);
        }
        metrics::upstream_retry(&target.region, label);
        let code = error.code().unwrap_or_default();
        trace.warnings().add(format!(
            "attempts: the request to Bedrock was retried (after '{code}')"
        ));
        sleep(pause).await;
        true
    }
}

/// Counts a request when dropped, however it ends. `abandoned` means that the deadline passed or
/// the client disconnected.
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

/// Returns the backoff after `made` attempts, or `None` if there must be no other. Full jitter keeps
/// requests that failed together from being retried together.
fn pause(advice: RetryAdvice, made: u32, policy: RetryPolicy) -> Option<Duration> {
    let (attempts, factor) = match advice {
        RetryAdvice::Never => return None,
        RetryAdvice::Once | RetryAdvice::Refreshed => (policy.attempts.min(2), 1),
        RetryAdvice::Often => (policy.attempts, 1),
        RetryAdvice::Slowly => (policy.attempts, SLOW_BACKOFF_FACTOR),
    };
    if made >= attempts {
        return None;
    }
    let longest = (policy.base * factor * 2u32.saturating_pow(made - 1)).min(policy.cap);
    Some(longest.mul_f64(fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_up_to_its_cap_and_the_attempt_limit() {
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
        assert_eq!(pause(Often, 1, one), None, "`attempts` includes the first");
        let huge = RetryPolicy {
            attempts: 10,
            base: policy.cap,
            cap: policy.cap,
        };
        assert!(pause(Slowly, 9, huge).unwrap() <= policy.cap);
    }
}
