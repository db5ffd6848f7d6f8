//! What is known of a target from the requests that it has received: its breaker, its retry budget, its load.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    breaker::{Breaker, Evidence, Pass, State},
    headroom::Headroom,
    registry::TargetHealth,
    retry_budget::RetryBudget,
};
use crate::{call::Occupancy, metrics, model::Target, money::Usage};

mod room;

pub use room::Room;

/// The longest time that a target rests after it throttled.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The health of one target.
pub struct Health {
    /// The region, or `ACCOUNT/REGION`.
    region: String,
    /// The id of the target.
    id: String,
    /// The `model` label of each model that calls it.
    labels: RwLock<BTreeSet<String>>,
    breaker: Breaker,
    pub budget: RetryBudget,
    in_flight: AtomicU32,
    /// The calls that have begun at the model of which this is the preferred target.
    turns: AtomicU64,
    resting: Mutex<Option<Instant>>,
    /// Until when the service demands to be left alone.
    demanded: Mutex<Option<Instant>>,
    pub headroom: Headroom,
    /// The average time to the first token, in microseconds; 0 if none is known.
    first_token: AtomicU64,
}

/// How fit a target is for the next request. The fitter, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    Healthy,
    /// Enough calls are finding out whether it works again.
    Recovering,
    /// It has just throttled.
    Resting,
    Broken,
}

impl Health {
    /// Creates the health of `target`, which has received nothing.
    pub fn new(target: &Target) -> Self {
        Self {
            region: target.place().into_owned(),
            id: target.id.clone(),
            labels: RwLock::default(),
            breaker: Breaker::default(),
            budget: RetryBudget::new(),
            in_flight: AtomicU32::new(0),
            turns: AtomicU64::new(0),
            resting: Mutex::default(),
            demanded: Mutex::default(),
            headroom: Headroom::default(),
            first_token: AtomicU64::new(0),
        }
    }

    /// Records that the model of `label` calls the target.
    pub fn add_label(&self, label: &str) {
        if self.labels().contains(label) {
            return;
        }
        let mut labels = self.labels.write().unwrap_or_else(PoisonError::into_inner);
        if labels.insert(label.to_owned()) {
            metrics::breaker_state(&self.region, label, self.breaker.state().as_str());
        }
    }

    /// Forgets the labels that `keep` rejects. Returns whether any is left.
    pub fn keep_labels(&self, keep: impl Fn(&str) -> bool) -> bool {
        let mut labels = self.labels.write().unwrap_or_else(PoisonError::into_inner);
        labels.retain(|label| keep(label));
        !labels.is_empty()
    }

    /// Reports whether this is the health of `target`, or of the inference profile through which its bare id is called.
    pub fn is_of(&self, target: &Target) -> bool {
        let prefix = self.id.strip_suffix(target.id.as_str());
        self.region == target.place()
            && prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
    }

    /// Reports the health for each model.
    pub fn report(&self) -> Vec<TargetHealth> {
        let state = self.breaker.state().as_str();
        self.publish(self.breaker.change());
        let labels = self.labels();
        let report = |model: &String| TargetHealth {
            model: model.clone(),
            region: self.region.clone(),
            state,
            in_flight: self.in_flight(),
            shared_with: labels
                .iter()
                .filter(|other| *other != model)
                .cloned()
                .collect(),
        };
        labels.iter().map(report).collect()
    }

    fn labels(&self) -> RwLockReadGuard<'_, BTreeSet<String>> {
        self.labels.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How fit the target is for the next request.
    pub fn fitness(&self) -> Fitness {
        match self.breaker.state() {
            State::Open => Fitness::Broken,
            State::Closed if self.is_resting() => Fitness::Resting,
            // Real calls find out whether it works again. If it does not, they move on.
            _ if self.breaker.has_room() => Fitness::Healthy,
            _ => Fitness::Recovering,
        }
    }

    /// The requests in flight, streams included.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a call, and returns how many there were before.
    pub fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// Records the time to the first token of a stream.
    pub fn answered_within(&self, time: Duration) {
        let new = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.first_token.load(Ordering::Relaxed);
        // Recent streams count most. Of two that end at once, one may be lost.
        let average = if old == 0 {
            new
        } else {
            old - old / 8 + new / 8
        };
        self.first_token.store(average.max(1), Ordering::Relaxed);
    }

    /// The average time to the first token, if it is known.
    pub fn first_token(&self) -> Option<Duration> {
        let average = self.first_token.load(Ordering::Relaxed);
        (average > 0).then(|| Duration::from_micros(average))
    }

    /// Sends calls to other targets, if there are any, for some time.
    pub fn rest(&self, time: Duration) {
        let until = Instant::now() + time.min(LONGEST_REST);
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Records that the service demands to be left alone for `time`.
    pub fn demand(&self, time: Duration) {
        let until = Instant::now() + time;
        *self.demanded.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// What is left of the time for which the service demands to be left alone.
    pub fn demanded_rest(&self) -> Duration {
        let until = *self.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    /// What is left of the time for which it rests, or for which the service demands to be left alone.
    pub fn rest_left(&self) -> Duration {
        let resting = *self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let left = resting.map(|until| until.saturating_duration_since(Instant::now()));
        left.unwrap_or_default().max(self.demanded_rest())
    }

    fn is_resting(&self) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.is_some_and(|until| until > Instant::now())
    }

    fn publish(&self, change: Option<State>) {
        let Some(state) = change else { return };
        let region = self.region.as_str();
        for model in self.labels().iter() {
            metrics::breaker_state(region, model, state.as_str());
            metrics::breaker_transition(region, model, state.as_str());
            match state {
                State::Open => tracing::warn!(region, model, "the circuit breaker has opened"),
                State::HalfOpen => {
                    tracing::info!(region, model, "the circuit breaker is half open");
                }
                State::Closed => tracing::info!(region, model, "the circuit breaker has closed"),
            }
        }
    }

    /// Admits a request; see [`Breaker::admit`].
    ///
    /// # Errors
    /// The time after which another request may be admitted.
    pub fn admit(self: &Arc<Self>, is_last_resort: bool) -> Result<Permit, Duration> {
        let pass = self.breaker.admit(is_last_resort)?;
        self.publish(self.breaker.change());
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Permit {
            lease: Arc::new(Lease {
                health: self.clone(),
                counted: AtomicI64::new(0),
                slot: AtomicU64::new(0),
                per_output: AtomicU32::new(1),
            }),
            pass: Some(pass),
        })
    }
}

/// The permission to send one request. If dropped without a result, the request proves nothing.
pub struct Permit {
    lease: Arc<Lease>,
    pass: Option<Pass>,
}

/// Counts a request as in flight until the last reference is dropped.
#[derive(Debug)]
pub struct Lease {
    health: Arc<Health>,
    /// The tokens of the quota that the request is counted with.
    counted: AtomicI64,
    /// Where they count.
    slot: AtomicU64,
    /// The tokens of the quota that each token of output counts as.
    per_output: AtomicU32,
}

impl Lease {
    /// Counts the request in the quota with `tokens` until its usage is known. Returns the tokens of the last minute.
    pub fn count(&self, tokens: u64, per_output: u32) -> f64 {
        self.per_output.store(per_output, Ordering::Relaxed);
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX / 2);
        self.counted.store(tokens, Ordering::Relaxed);
        let slot = self.health.headroom.count(tokens);
        self.slot.store(slot, Ordering::Relaxed);
        self.health.headroom.used()
    }

    /// Records that AWS did not admit the request. `is_throttled` means that its quota is used up.
    pub fn not_admitted(&self, is_throttled: bool) {
        let tokens = self.counted.load(Ordering::Relaxed);
        if is_throttled && tokens > 0 {
            self.health.headroom.throttled(tokens);
        }
        self.set_counted(0);
    }

    fn set_counted(&self, tokens: i64) {
        let before = self.counted.swap(tokens, Ordering::Relaxed);
        if tokens != before {
            let slot = self.slot.load(Ordering::Relaxed);
            self.health.headroom.correct(slot, tokens - before);
        }
    }
}

impl Occupancy for Lease {
    fn used(&self, usage: &Usage) {
        if self.counted.load(Ordering::Relaxed) == 0 {
            return;
        }
        let per_output = u64::from(self.per_output.load(Ordering::Relaxed));
        let output = usage.output.saturating_mul(per_output);
        let tokens = usage
            .input
            .saturating_add(usage.cache_write)
            .saturating_add(output);
        self.set_counted(i64::try_from(tokens).unwrap_or(i64::MAX / 2));
    }
}

impl Permit {
    /// Returns a reference that keeps the request in flight, for the rest of a stream.
    pub fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }

    /// Reports whether the request finds out whether its target works again.
    pub fn is_probe(&self) -> bool {
        self.pass == Some(Pass::Probe)
    }

    /// Records what the request proves about the target, if anything. `at_least` is the time for which a failing service
    /// demands to be left alone.
    pub fn end(mut self, evidence: Option<Evidence>, at_least: Duration) {
        self.record(evidence, at_least);
    }

    fn record(&mut self, evidence: Option<Evidence>, at_least: Duration) {
        let Some(pass) = self.pass.take() else {
            return;
        };
        let health = &self.lease.health;
        health.publish(health.breaker.record(pass, evidence, at_least));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.record(None, Duration::ZERO);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Health({} in {})", self.id, self.region)
    }
}
