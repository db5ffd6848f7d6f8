//! Admits calls under the strategy `headroom`. A call that fits into the quota of no target, by the estimate of
//! [`Headroom`](super::headroom::Headroom), waits for as long as its model allows, or is rejected.

mod lines;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

use self::lines::{Lines, Waiter};
use super::{choice::Choice, health::Room, registry::Registry};
use crate::{
    call::Call,
    error::{Error, Kind},
    metrics,
    model::{Model, Strategy},
    operation::Operation,
    upstream::abandoned,
};

/// The most calls that wait for one model.
const MAX_WAITING: usize = 1000;

/// The longest `retry-after` of a call that is not sent. Official SDKs ignore one that is longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How often the calls that wait are looked at. Room comes from other calls that end, from time that passes, and from
/// breakers that close, which are too many causes to wait for each.
const TICK: Duration = Duration::from_millis(20);

/// The calls that wait, by the label of their model. A model has an entry, and a task that serves it, while calls wait.
#[derive(Clone, Default)]
pub struct Admission(Arc<Mutex<HashMap<String, Lines>>>);

impl Admission {
    /// Returns room for `call` at a target. Calls with the same `affinity` begin at the same one while there is room. A call
    /// waits for as long as its model allows since `since`. `tasks` tracks the task that serves those that wait.
    ///
    /// # Errors
    /// 429 if the call fits nowhere, or that the client has disconnected.
    pub async fn enter<T: Operation>(
        &self,
        registry: &Registry,
        call: &Call<T>,
        affinity: Option<u64>,
        since: Instant,
        tasks: &TaskTracker,
    ) -> Result<Room, Error> {
        let model = &call.model;
        let tokens = call.body.admitted_tokens(model);
        let (grant, granted) = oneshot::channel();
        let limit = {
            let mut all = self.lock();
            let lines = all.get(model.label());
            // A call that overtook those that wait would be unfair.
            let wait = match lines.is_none() || tokens == 0 {
                true => match room(registry, model, tokens, affinity) {
                    Ok(room) => return Ok(room),
                    Err(wait) => wait,
                },
                false => Choice::new(registry, &model.targets, model.label()).wait_for(tokens),
            };
            let is_crowded = lines.is_some_and(|lines| lines.count() >= MAX_WAITING);
            let left = |queue: Duration| queue.checked_sub(since.elapsed());
            let limit = model.targets.queue.and_then(left);
            let Some(limit) = limit.filter(|_| !is_crowded) else {
                metrics::quota_full(model.label(), "refused");
                return Err(refused(wait));
            };
            let waiter = Waiter {
                model: model.clone(),
                tokens,
                trace: call.trace.clone(),
                grant,
            };
            let is_first = lines.is_none();
            let lines = all.entry(model.label().to_owned()).or_default();
            lines.push(&call.caller.key_id, waiter);
            if is_first {
                let label = model.label().to_owned();
                tasks.spawn(self.clone().serve(registry.clone(), label));
            }
            limit
        };
        let mut waiting = Waiting {
            label: model.label(),
            outcome: "abandoned",
        };
        let began = std::time::Instant::now();
        let result = timeout(limit, granted).await;
        call.trace.waited_since(began);
        match result {
            Ok(Ok(room)) => {
                waiting.outcome = "admitted";
                Ok(room)
            }
            Ok(Err(_)) => Err(abandoned()),
            Err(_) => {
                waiting.outcome = "refused";
                let choice = Choice::new(registry, &model.targets, model.label());
                Err(refused(choice.wait_for(tokens)))
            }
        }
    }

    /// Reports whether `call` would get room at once.
    pub fn has_room<T: Operation>(&self, registry: &Registry, call: &Call<T>) -> bool {
        let model = &call.model;
        let tokens = call.body.admitted_tokens(model);
        let choice = || Choice::new(registry, &model.targets, model.label());
        tokens == 0
            || (!self.lock().contains_key(model.label()) && choice().wait_for(tokens).is_zero())
    }

    /// Serves the calls that wait for a model, until none is left.
    async fn serve(self, registry: Registry, label: String) {
        loop {
            sleep(TICK).await;
            let mut all = self.lock();
            let Some(lines) = all.get_mut(&label) else {
                return;
            };
            lines.serve(|waiter| room(&registry, &waiter.model, waiter.tokens, None).ok());
            if lines.count() == 0 {
                all.remove(&label);
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lines>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports whether `call`, which AWS throttled, may wait again: it was sent because the estimate may be wrong, and nothing of
/// it was billed.
pub fn may_wait_again<T: Operation>(call: &Call<T>, error: &Error) -> bool {
    let targets = &call.model.targets;
    let spend = call.trace.spending().total();
    error.kind() == Kind::UpstreamThrottle
        && targets.strategy == Strategy::Headroom
        && call.plan.worst.requests <= 1
        && spend.usage.is_none()
        && spend.is_reported()
}

/// Returns room for `tokens` at a target of `model`.
///
/// # Errors
/// The time until there is room, by the estimate.
fn room(
    registry: &Registry,
    model: &Model,
    tokens: u64,
    affinity: Option<u64>,
) -> Result<Room, Duration> {
    let choice = Choice::new(registry, &model.targets, model.label());
    let wait = choice.wait_for(tokens);
    let place = match wait.is_zero() || tokens == 0 {
        true => choice.start(affinity, tokens),
        false => choice.probe().ok_or(wait)?,
    };
    Ok(Room::new(place, &choice.healths[place], tokens))
}

/// The error for a call that fits nowhere for the next `wait`.
fn refused(wait: Duration) -> Error {
    let wait = wait.min(LONGEST_RETRY_AFTER);
    // In whole seconds, as the header counts.
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let text = format!(
        "By the gateway's estimate, the quota of tokens per minute of this model on Bedrock is used up. Try again in {seconds} s, or \
         lower the limit of the output."
    );
    Error::new(Kind::UpstreamThrottle, text)
        .with_code("rate_limit_exceeded")
        .with_retry_after(wait.max(Duration::from_secs(1)))
        .with_detail("the request was not sent to Bedrock")
        .of_model()
}

/// Counts a call that waits when dropped.
struct Waiting<'a> {
    label: &'a str,
    outcome: &'static str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        metrics::quota_full(self.label, self.outcome);
    }
}
