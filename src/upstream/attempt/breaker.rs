//! The circuit breaker of one target. It opens if too many requests fail, or a few get no answer at all, so that calls go to other regions at once, and
//! closes after real calls have succeeded. Throttling does not open it: a service that throttles works.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The share of failures that opens the breaker.
const FAILURES: f64 = 0.5;
/// The requests in the window below which it stays closed, because a few prove nothing.
const MINIMUM: u32 = 20;
/// The window has this many slots, each of this length.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);
/// The requests without any answer, one after the other and however far apart, that open it. Each of them costs its caller
/// the whole wait, so at low traffic the window would never be full.
const SILENT: u32 = 5;
/// How long it stays open at first. The time doubles each time that a probe fails.
const OPEN: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);
/// The calls that may be under way while it is half open, and that must succeed to close it.
const PROBES: u32 = 3;

/// The state of a breaker, as it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    /// A few calls find out whether the target works again.
    HalfOpen,
    Open,
}

impl State {
    /// The label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// What the end of a request proves about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Works,
    Fails,
    /// It fails without an answer: there is no connection, or no reply in time.
    Silent,
}

/// Whether a request decides about the state of the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Normal,
    Probe,
}

/// Opens and closes by the results of requests.
#[derive(Debug)]
pub struct Breaker(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    phase: Phase,
    slots: [Slot; SLOTS],
    /// The time of the first slot, and the number of the current one since then.
    began: Instant,
    slot: u64,
    /// The requests without an answer since the last success.
    silent: u32,
    /// How often it has opened since it was closed.
    opened: u32,
    /// The probes under way, and those that have succeeded since it opened.
    probing: u32,
    succeeded: u32,
    /// The state that was reported last.
    reported: State,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    failures: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            phase: Phase::Closed,
            slots: [Slot::default(); SLOTS],
            began: Instant::now(),
            slot: 0,
            silent: 0,
            opened: 0,
            probing: 0,
            succeeded: 0,
            reported: State::Closed,
        }))
    }
}

impl Breaker {
    /// Admits a request. If `is_last_resort`, one request at a time passes an open breaker, because no other target is left.
    ///
    /// # Errors
    /// The time after which another request may be admitted.
    pub fn admit(&self, is_last_resort: bool) -> Result<Pass, Duration> {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.half_open(now);
        let room = match inner.phase {
            Phase::Closed => return Ok(Pass::Normal),
            Phase::HalfOpen => PROBES,
            Phase::Open { .. } if is_last_resort => 1,
            Phase::Open { until } => return Err(until - now),
        };
        if inner.probing < room {
            inner.probing += 1;
            return Ok(Pass::Probe);
        }
        Err(match inner.phase {
            Phase::Open { until } => until - now,
            _ => SLOT,
        })
    }

    /// Records the result of a request, which may prove nothing. A breaker that opens stays so for `at_least`. Returns the
    /// state if it has changed, as [`change`](Self::change) does.
    pub fn record(
        &self,
        pass: Pass,
        evidence: Option<Evidence>,
        at_least: Duration,
    ) -> Option<State> {
        let now = Instant::now();
        let mut inner = self.lock();
        match (pass, evidence) {
            (Pass::Normal, Some(evidence)) => inner.count(evidence, at_least, now),
            (Pass::Normal, None) => {}
            (Pass::Probe, evidence) => {
                inner.probing = inner.probing.saturating_sub(1);
                inner.probed(evidence, at_least, now);
            }
        }
        inner.change()
    }

    /// Returns the state if it has changed since it was returned last.
    pub fn change(&self) -> Option<State> {
        self.lock().change()
    }

    /// Reports whether a request would be admitted now.
    pub fn has_room(&self) -> bool {
        let mut inner = self.lock();
        inner.half_open(Instant::now());
        match inner.phase {
            Phase::Closed => true,
            Phase::HalfOpen => inner.probing < PROBES,
            Phase::Open { .. } => false,
        }
    }

    /// The state now.
    pub fn state(&self) -> State {
        let mut inner = self.lock();
        inner.half_open(Instant::now());
        inner.state()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::HalfOpen => State::HalfOpen,
            Phase::Open { .. } => State::Open,
        }
    }

    fn change(&mut self) -> Option<State> {
        let now = self.state();
        let before = std::mem::replace(&mut self.reported, now);
        (now != before).then_some(now)
    }

    fn half_open(&mut self, now: Instant) {
        if let Phase::Open { until } = self.phase
            && until <= now
        {
            self.phase = Phase::HalfOpen;
        }
    }

    fn count(&mut self, evidence: Evidence, at_least: Duration, now: Instant) {
        if !matches!(self.phase, Phase::Closed) {
            return;
        }
        let current = (now - self.began).as_nanos() / SLOT.as_nanos();
        let current = u64::try_from(current).unwrap_or(u64::MAX);
        // Slots of a time in which nothing happened are emptied.
        for _ in 0..current.saturating_sub(self.slot).min(SLOTS as u64) {
            self.slot += 1;
            self.slots[self.slot as usize % SLOTS] = Slot::default();
        }
        if self.slot < current {
            self.slot = current;
            self.slots[current as usize % SLOTS] = Slot::default();
        }
        let slot = &mut self.slots[self.slot as usize % SLOTS];
        slot.requests += 1;
        slot.failures += u32::from(evidence != Evidence::Works);
        match evidence {
            Evidence::Works => self.silent = 0,
            Evidence::Fails => {}
            Evidence::Silent => self.silent += 1,
        }
        let requests: u32 = self.slots.iter().map(|slot| slot.requests).sum();
        let failures: u32 = self.slots.iter().map(|slot| slot.failures).sum();
        let is_failing =
            requests >= MINIMUM && f64::from(failures) >= f64::from(requests) * FAILURES;
        if is_failing || self.silent >= SILENT {
            self.open(at_least, now);
        }
    }

    /// Takes the result of a probe, which may come when others have decided.
    fn probed(&mut self, evidence: Option<Evidence>, at_least: Duration, now: Instant) {
        match (self.phase, evidence) {
            (_, None) => {}
            (Phase::Closed, Some(evidence)) => self.count(evidence, at_least, now),
            (_, Some(Evidence::Works)) => self.succeed(now),
            (Phase::HalfOpen, Some(_)) => self.open(at_least, now),
            (Phase::Open { until }, Some(_)) => {
                let until = until.max(now + at_least);
                self.phase = Phase::Open { until };
            }
        }
    }

    fn open(&mut self, at_least: Duration, now: Instant) {
        let own = OPEN * 2u32.saturating_pow(self.opened.min(8));
        let until = now + own.min(LONGEST).max(at_least);
        self.phase = Phase::Open { until };
        self.opened += 1;
        self.succeeded = 0;
    }

    fn succeed(&mut self, now: Instant) {
        self.succeeded += 1;
        if self.succeeded < PROBES {
            self.phase = Phase::HalfOpen;
            return;
        }
        self.phase = Phase::Closed;
        self.slots = [Slot::default(); SLOTS];
        (self.began, self.slot) = (now, 0);
        (self.opened, self.succeeded, self.silent) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests;
