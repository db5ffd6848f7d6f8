use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{Call, Caller, Remaining, Scope, Trace},
    error::{Error, Kind},
    metrics,
    operation::Operation,
};

mod bucket;

use bucket::{Bucket, Rate};

/// Limits requests and tokens per minute, in every scope of a call. Rejects calls, and never queues them. If a scope
/// rejects a call, the requests counted in earlier scopes stay counted, and tokens are returned. All models share one
/// instance, because scopes span models.
#[derive(Clone, Default)]
pub struct RateLimit(Arc<State>);

#[derive(Default)]
struct State {
    requests: Buckets,
    tokens: Buckets,
}

/// The buckets of one kind of limit, by scope. A bucket outlives a change of its rate, which thus admits no more at once.
#[derive(Default)]
struct Buckets(Mutex<HashMap<String, Bucket>>);

/// The number of scopes above which those with a full bucket are removed, to bound the memory.
const MAX_IDLE_SCOPES: usize = 10_000;

impl Buckets {
    fn with<R>(&self, scope: &str, rate: Rate, work: impl FnOnce(&mut Bucket, Instant) -> R) -> R {
        let now = Instant::now();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(scope) {
            bucket.set_rate(rate, now);
            return work(bucket, now);
        }
        if buckets.len() > MAX_IDLE_SCOPES {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = buckets
            .entry(scope.to_owned())
            .or_insert_with(|| Bucket::new(rate, now));
        work(bucket, now)
    }
}

impl<T: Operation, P: Send + Sync + 'static> Middleware<T, P> for RateLimit {
    async fn handle<S>(&self, call: Call<T, P>, mut next: S) -> Result<Reply<T>, Error>
    where
        S: Service<Call<T, P>, Response = Reply<T>, Error = Error, Future: Send> + Send,
    {
        let mut scopes = call.scopes();
        scopes.retain(|scope| !scope.limits.is_none());
        if scopes.is_empty() {
            return next.call(call).await;
        }
        let count_refusal = |error: Error| {
            metrics::refusal(call.caller.team_name(), &call.caller.key_id, "rate_limit");
            error
        };
        let expected = call.body.likely_tokens(&call.model);
        // Checked first, because a rejected call should not count against other limits.
        scopes
            .iter()
            .try_for_each(|scope| check_size(scope, expected, &*call.body))
            .map_err(count_refusal)?;
        for scope in &scopes {
            self.take_request(scope, &call.trace)
                .map_err(count_refusal)?;
        }
        let mut guard = TokenGuard {
            limits: self.clone(),
            scopes: Vec::new(),
            expected,
            trace: call.trace.clone(),
            model: call.model.label().to_owned(),
        };
        for scope in scopes {
            self.take_tokens(scope, &mut guard).map_err(count_refusal)?;
        }
        let reply = next.call(call).await?;
        Ok(reply.on_end(move |_| drop(guard)))
    }
}

impl RateLimit {
    /// Counts a request of `caller` that calls no model in the limit of its key.
    ///
    /// # Errors
    /// 429 if the limit is reached.
    pub fn take_request_of(&self, caller: &Caller, trace: &Trace) -> Result<(), Error> {
        let scope = Scope {
            id: format!("key:{}", caller.key_id),
            limits: caller.limits,
        };
        self.take_request(&scope, trace).inspect_err(|_| {
            metrics::refusal(caller.team_name(), &caller.key_id, "rate_limit");
        })
    }

    /// Counts a request in `scope`.
    fn take_request(&self, scope: &Scope, trace: &Trace) -> Result<(), Error> {
        let Some(per_minute) = scope.limits.requests_per_minute else {
            return Ok(());
        };
        let rate = Rate {
            per_minute,
            capacity: scope.limits.burst(),
        };
        let (decision, left) = self.0.requests.with(&scope.id, rate, |bucket, now| {
            let decision = bucket.take_exactly(1, now);
            (decision, remaining(bucket, per_minute))
        });
        trace.set_rate_limits(|limits| limits.add_requests(left));
        metrics::rate_limit(&scope.id, "rpm", decision.is_ok());
        let limit = || format!("{per_minute} requests per minute");
        decision.map_err(|wait| exceeded(&scope.id, &limit(), wait))
    }

    /// Takes the expected tokens from the bucket of `scope`.
    fn take_tokens(&self, scope: Scope, guard: &mut TokenGuard) -> Result<(), Error> {
        let expected = guard.expected;
        let Some(per_minute) = scope.limits.tokens_per_minute else {
            return Ok(());
        };
        let rate = Rate::per_minute(per_minute);
        let (decision, left) = self.0.tokens.with(&scope.id, rate, |bucket, now| {
            let decision = bucket.take(expected, now);
            (decision, remaining(bucket, per_minute))
        });
        guard
            .trace
            .set_rate_limits(|limits| limits.add_tokens(left));
        metrics::rate_limit(&scope.id, "tpm", decision.is_ok());
        let limit = || format!("{per_minute} tokens per minute");
        decision.map_err(|wait| exceeded(&scope.id, &limit(), wait))?;
        guard.scopes.push((scope.id, rate));
        Ok(())
    }
}

fn remaining(bucket: &Bucket, limit: u32) -> Remaining {
    Remaining {
        limit: limit.into(),
        remaining: bucket.left(),
        reset: bucket.until_full(),
    }
}

/// Checks the limit on the tokens of one request.
fn check_size<T: Operation>(scope: &Scope, expected: u64, body: &T) -> Result<(), Error> {
    let Some(most) = scope
        .limits
        .max_request_tokens
        .filter(|most| expected > u64::from(*most))
    else {
        return Ok(());
    };
    let text = format!(
        "This request may need {expected} tokens; '{}' allows {most} per request. {}.",
        scope.id,
        body.cost_advice()
    );
    Err(Error::new(Kind::RateLimited, text)
        .with_code("rate_limit_exceeded")
        .with_param(T::SIZE_MEMBER)
        .without_retry())
}

/// The expected tokens that a call took. When it is dropped, the actual number replaces them.
struct TokenGuard {
    limits: RateLimit,
    scopes: Vec<(String, Rate)>,
    expected: u64,
    trace: Trace,
    model: String,
}

impl Drop for TokenGuard {
    fn drop(&mut self) {
        if self.scopes.is_empty() {
            return;
        }
        let spent = self.trace.spending().total();
        let tokens = spent.usage.map_or(0, |usage| usage.total());
        // The usage of a lost request is unknown, so the expected tokens count.
        let tokens = if spent.lost > 0 {
            tokens.max(self.expected)
        } else {
            tokens
        };
        if self.expected > 0 && spent.usage.is_some() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a ratio of counts far below 2^53"
            )]
            metrics::estimate_error(&self.model, tokens as f64 / self.expected as f64);
        }
        for (scope, rate) in std::mem::take(&mut self.scopes) {
            self.limits.0.tokens.with(&scope, rate, |bucket, now| {
                bucket.correct(self.expected, tokens, now);
            });
        }
    }
}

fn exceeded(scope: &str, limit: &str, wait: Duration) -> Error {
    Error::new(
        Kind::RateLimited,
        format!(
            "Rate limit reached: '{scope}' allows {limit}. Try again in {:.3} s.",
            wait.as_secs_f64()
        ),
    )
    .with_code("rate_limit_exceeded")
    .with_retry_after(wait)
}

#[cfg(test)]
mod tests;
