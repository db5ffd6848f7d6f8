use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;

/// The largest step back that is ignored, in milliseconds. A larger one corrects a clock that was wrong, and windows that
/// open because of it are read from the ledger.
const MAX_IGNORED_STEP: i64 = 60_000;

/// The time of admissions. It does not step back by less than a minute, so that a correction of the system clock around
/// midnight does not reopen a window. Clones share their state.
#[derive(Clone)]
pub struct Clock {
    system: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The latest time that was returned, in Unix milliseconds.
    latest: Arc<AtomicI64>,
}

impl Clock {
    /// Creates a clock that follows `system`.
    pub fn new(system: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            system: Arc::new(system),
            latest: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// Returns the current time, in milliseconds.
    pub fn now(&self) -> Timestamp {
        let system = (self.system)().as_millisecond();
        let shown = |latest: i64| match latest.checked_sub(system) {
            Some(back) if (0..=MAX_IGNORED_STEP).contains(&back) => latest,
            _ => system,
        };
        let latest = self
            .latest
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |latest| {
                Some(shown(latest))
            })
            .unwrap_or(system);
        Timestamp::from_millisecond(shown(latest)).unwrap_or(Timestamp::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.latest).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_back_stand_still_and_large_ones_are_followed() {
        let system = Arc::new(AtomicI64::new(0));
        let source = system.clone();
        let clock = Clock::new(move || {
            Timestamp::from_millisecond(source.load(Ordering::Relaxed)).unwrap()
        });
        for (set, shown) in [
            (100_000, 100_000),
            (40_000, 100_000),
            (39_999, 39_999),
            (50_000, 50_000),
            (49_999, 50_000),
            (500_000, 500_000),
        ] {
            system.store(set, Ordering::Relaxed);
            assert_eq!(clock.now().as_millisecond(), shown, "system at {set}");
        }
    }
}
