//! An estimate of what is left of a target's quota of tokens per minute. AWS does not say how much that is, so the estimate
//! counts what was sent by AWS's own rule, and learns the quota from throttling.
//!
//! The rule, from the user guide, "How tokens are counted": a request is admitted with its input and `max_tokens`. When it
//! has ended, it counts its input, what it wrote to the cache, and its output times a rate that depends on the model.
//! Tokens read from the cache do not count.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The window of AWS's quota, a minute, in slots of this length, and the one that has begun: room that is seen too early makes
/// AWS throttle.
const SLOTS: usize = 13;
const SLOT: Duration = Duration::from_secs(5);

/// How a quota grows that was learned from throttling, per minute without any: other users of the account may have used it.
const GROWTH: f64 = 1.1;

/// When a learned quota is forgotten, in minutes without throttling.
const FORGOTTEN: f64 = 15.0;

/// The least quota that is learned, in tokens.
const LEAST: f64 = 1000.0;

/// When a call is sent although it does not fit, because the estimate may be too low: others may have used the quota when
/// it was learned, or AWS may have throttled for another reason. After each such call, the next one has to wait twice as long.
const PROBE_AFTER: Duration = Duration::from_secs(5);
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// The quota that is learned if AWS admits more than the estimate, relative to what it admitted.
const RAISE: f64 = 1.25;

/// The tokens that a target has counted in the last minute, and its quota.
#[derive(Debug)]
pub struct Headroom(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    slots: [i64; SLOTS],
    /// The time of the first slot, and the number of the current one since then.
    began: Instant,
    slot: u64,
    /// The quota when it was learned, in tokens, and that time.
    learned: Option<(f64, Instant)>,
    /// When a call was last sent although it did not fit.
    probed: Option<Instant>,
    /// The time until the next such call.
    probe_after: Duration,
}

impl Default for Headroom {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            slots: [0; SLOTS],
            began: Instant::now(),
            slot: 0,
            learned: None,
            probed: None,
            probe_after: PROBE_AFTER,
        }))
    }
}

impl Headroom {
    /// Counts `tokens` more, and returns the slot where they count.
    pub fn count(&self, tokens: i64) -> u64 {
        let mut inner = self.lock();
        inner.advance();
        let slot = inner.slot;
        inner.add(slot, tokens);
        slot
    }

    /// Counts `tokens` more in `slot`, fewer if it is negative, unless the slot is over.
    pub fn correct(&self, slot: u64, tokens: i64) {
        let mut inner = self.lock();
        inner.advance();
        inner.add(slot, tokens);
    }

    /// Records that AWS throttled a request of `tokens`, which is counted already: without it, the quota was almost used.
    pub fn throttled(&self, tokens: i64) {
        let mut inner = self.lock();
        inner.advance();
        let used = inner.used() - tokens as f64;
        if inner.quota().is_none() {
            inner.probe_after = PROBE_AFTER;
        }
        let quota = inner.quota().map_or(used, |quota| quota.min(used));
        inner.learned = Some((quota.max(LEAST), Instant::now()));
    }

    /// Records that AWS admitted a request that was sent at `sent`, when `used` tokens were counted, its own included. If the
    /// quota was taken to be smaller then, it is larger.
    pub fn admitted(&self, used: f64, sent: Instant) {
        let mut inner = self.lock();
        let quota = inner.quota();
        // What was throttled since then says more.
        let is_older = inner.learned.is_some_and(|(_, at)| at < sent);
        if is_older && quota.is_some_and(|quota| used > quota) {
            inner.learned = Some((used * RAISE, Instant::now()));
            inner.probe_after = PROBE_AFTER;
        }
    }

    /// Returns the time until `tokens` more fit into the quota. Zero if they do now, if the quota is unknown, or if
    /// nothing was used in the last minute, because then only AWS knows.
    pub fn wait_for(&self, tokens: u64) -> Duration {
        let mut inner = self.lock();
        inner.advance();
        let Some(quota) = inner.quota() else {
            return Duration::ZERO;
        };
        let mut wait = Duration::ZERO;
        let elapsed = inner.began.elapsed();
        let (mut left, now) = (inner.slots, inner.slot);
        for next in now + 1..=now + SLOTS as u64 {
            let used = left.iter().sum::<i64>().max(0);
            if used == 0 || used as f64 + tokens as f64 <= quota {
                return wait;
            }
            // The oldest slot makes room for the next one.
            left[next as usize % SLOTS] = 0;
            let begins = SLOT * u32::try_from(next).unwrap_or(u32::MAX);
            wait = begins.saturating_sub(elapsed);
        }
        wait
    }

    /// Reports whether a call is to be sent although it does not fit, to find out whether the quota is larger. True rarely, and
    /// not right after AWS throttled.
    pub fn probe(&self) -> bool {
        let mut inner = self.lock();
        let learned = inner.learned.map(|(_, at)| at);
        let last = learned.max(inner.probed);
        let is_due = last.is_some_and(|last| last.elapsed() >= inner.probe_after);
        if is_due {
            inner.probed = Some(Instant::now());
            inner.probe_after = (inner.probe_after * 2).min(LONGEST_PROBE);
        }
        is_due
    }

    /// The tokens of the last minute.
    pub fn used(&self) -> f64 {
        let mut inner = self.lock();
        inner.advance();
        inner.used()
    }

    /// The quota of a minute, in tokens, if it is known.
    pub fn quota(&self) -> Option<f64> {
        self.lock().quota()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn advance(&mut self) {
        let current = self.began.elapsed().as_nanos() / SLOT.as_nanos();
        let current = u64::try_from(current).unwrap_or(u64::MAX);
        for _ in 0..current.saturating_sub(self.slot).min(SLOTS as u64) {
            self.slot += 1;
            self.slots[self.slot as usize % SLOTS] = 0;
        }
        if self.slot < current {
            self.slot = current;
            self.slots[current as usize % SLOTS] = 0;
        }
    }

    fn add(&mut self, slot: u64, tokens: i64) {
        if slot + SLOTS as u64 > self.slot {
            let slot = &mut self.slots[slot as usize % SLOTS];
            *slot = slot.saturating_add(tokens);
        }
    }

    fn used(&self) -> f64 {
        self.slots.iter().sum::<i64>().max(0) as f64
    }

    fn quota(&self) -> Option<f64> {
        let (quota, at) = self.learned?;
        let minutes = at.elapsed().as_secs_f64() / 60.0;
        (minutes < FORGOTTEN).then(|| quota * GROWTH.powf(minutes))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_count_for_a_minute() {
        let headroom = Headroom::default();
        let early = headroom.count(1000);
        advance(Duration::from_secs(30)).await;
        headroom.count(500);
        headroom.correct(early, -200);
        assert_eq!(headroom.used(), 1300.0);
        advance(Duration::from_secs(31)).await;
        assert_eq!(
            headroom.used(),
            1300.0,
            "the minute of the first is not over for sure"
        );
        advance(Duration::from_secs(5)).await;
        headroom.correct(early, -200);
        assert_eq!(headroom.used(), 500.0, "they are forgotten together");
        advance(Duration::from_secs(3600)).await;
        assert_eq!(headroom.used(), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn quota_is_learned_from_throttling_grows_and_is_forgotten() {
        let headroom = Headroom::default();
        assert_eq!(headroom.quota(), None);
        headroom.count(10_000);
        headroom.throttled(2000);
        assert_eq!(headroom.quota(), Some(8000.0));
        advance(Duration::from_secs(60)).await;
        assert_eq!(headroom.quota().map(f64::round), Some(8800.0));
        advance(Duration::from_secs(15 * 60)).await;
        assert_eq!(headroom.quota(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn call_fits_when_enough_of_the_minute_has_passed() {
        let headroom = Headroom::default();
        assert_eq!(headroom.wait_for(u64::MAX), Duration::ZERO, "unknown");
        headroom.count(6000);
        advance(Duration::from_secs(12)).await;
        headroom.count(4000);
        let refused = headroom.count(2000);
        headroom.throttled(2000);
        headroom.correct(refused, -2000);
        let seconds = |tokens| headroom.wait_for(tokens).as_secs();
        assert_eq!(seconds(10), 53, "the first slot leaves after a minute");
        assert_eq!(
            seconds(6500),
            63,
            "and that of the other request ten seconds later"
        );
        assert_eq!(
            seconds(50_000),
            63,
            "a call is always sent to a target that is idle"
        );
        advance(Duration::from_secs(53)).await;
        assert_eq!((seconds(6000), seconds(7000)), (0, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn estimate_that_is_too_low_is_raised_by_calls_that_aws_admits() {
        let headroom = Headroom::default();
        headroom.count(5000);
        headroom.throttled(3000);
        assert!(!headroom.probe(), "it has just throttled");
        headroom.admitted(9000.0, Instant::now() - Duration::from_secs(1));
        assert_eq!(headroom.quota(), Some(2000.0), "it was sent before");
        advance(PROBE_AFTER).await;
        assert!(headroom.probe());
        assert!(!headroom.probe(), "one at a time");
        advance(PROBE_AFTER).await;
        assert!(!headroom.probe(), "the next one waits twice as long");
        advance(PROBE_AFTER).await;
        assert!(headroom.probe());
        headroom.admitted(4000.0, Instant::now());
        assert_eq!(headroom.quota(), Some(5000.0));
        advance(PROBE_AFTER).await;
        assert!(headroom.probe(), "what was admitted says that more may fit");
    }
}
