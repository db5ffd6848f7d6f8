use std::time::Duration;

use tokio::time::Instant;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_minute: u32,
    pub capacity: u32,
}

impl Rate {
    /// A bucket that holds what it gains in a minute.
    pub fn per_minute(per_minute: u32) -> Self {
        Self {
            per_minute,
            capacity: per_minute,
        }
    }
}

/// A token bucket for one scope; its tokens may also stand for requests. A call takes the tokens that it is expected to need, and is corrected to the actual
/// number when it ends. The bucket can go into debt, which the refill repays. A full bucket admits every call, because
/// a call larger than the bucket would otherwise never be admitted. A busy bucket is never full, so it also admits a large
/// call a minute after it first rejected it. It counts the minute from the end of its debt, which keeps the average at the
/// rate and lets smaller calls pass in between.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    /// The current tokens, in millionths, so that frequent refills lose nothing to rounding. Negative in debt.
    level: i128,
    at: Instant,
    waiting: Option<Waiting>,
}

/// The largest call that was rejected since one of its size was admitted.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When the bucket may go into debt for it.
    turn: Instant,
    /// When it counts as given up, unless it is tried again.
    until: Instant,
    /// Its tokens, in millionths.
    wanted: i128,
}

const MICRO: i128 = 1_000_000;

/// How long a busy bucket rejects large calls: as long as an idle one takes to fill.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so long without another attempt, a call is given up.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(180);

impl Bucket {
    /// Creates a full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            level: i128::from(rate.capacity) * MICRO,
            at: now,
            waiting: None,
        }
    }

    /// Changes the rate from `now` on, and removes what exceeds the new capacity.
    pub fn set_rate(&mut self, rate: Rate, now: Instant) {
        if self.rate != rate {
            self.refill(now);
            self.rate = rate;
            self.level = self.level.min(self.capacity());
        }
    }

    /// Takes `wanted` tokens, and never goes into debt.
    ///
    /// # Errors
    /// The time until the tokens are available.
    pub fn take_exactly(&mut self, wanted: u32, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        let wanted = i128::from(wanted) * MICRO;
        if self.level < wanted {
            return Err(self.refill_time(wanted - self.level));
        }
        self.level -= wanted;
        Ok(())
    }

    /// Takes `expected` tokens.
    ///
    /// # Errors
    /// The time until the tokens are available.
    pub fn take(&mut self, expected: u64, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        let wanted = i128::from(expected) * MICRO;
        let has_turn = self.level >= 0
            && self
                .waiting_at(now)
                .is_some_and(|waiting| waiting.turn <= now && waiting.wanted <= wanted);
        if self.level >= wanted || self.level == self.capacity() || has_turn {
            self.level -= wanted;
            self.waiting = self.waiting.filter(|waiting| waiting.wanted > wanted);
            return Ok(());
        }
        let wait = self.refill_time(wanted.min(self.capacity()) - self.level);
        if wanted <= self.capacity() / 2 {
            return Err(wait);
        }
        let debt = match self.level < 0 {
            true => self.refill_time(-self.level),
            false => Duration::ZERO,
        };
        let first = now + debt + LONGEST_WAIT;
        let before = self.waiting_at(now);
        let turn = before.map_or(first, |before| before.turn);
        let wanted = before.map_or(wanted, |before| before.wanted.max(wanted));
        self.waiting = Some(Waiting {
            turn,
            until: now.max(turn) + FORGOTTEN_AFTER,
            wanted,
        });
        let turn = turn.saturating_duration_since(now);
        Err(wait.min(turn.max(debt)))
    }

    /// Returns the call that waits for its turn, unless it was given up.
    fn waiting_at(&self, now: Instant) -> Option<Waiting> {
        self.waiting.filter(|waiting| now < waiting.until)
    }

    /// Replaces the `expected` tokens that a call took by the `actual` number.
    pub fn correct(&mut self, expected: u64, actual: u64, now: Instant) {
        self.refill(now);
        let back = (i128::from(expected) - i128::from(actual)) * MICRO;
        self.level = (self.level + back).min(self.capacity());
    }

    /// The available whole tokens; 0 while in debt.
    pub fn left(&self) -> u64 {
        u64::try_from(self.level / MICRO).unwrap_or(0)
    }

    /// The time until the bucket is full.
    pub fn until_full(&self) -> Duration {
        self.refill_time(self.capacity() - self.level)
    }

    /// Reports whether the bucket is full at `now`.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level == self.capacity()
    }

    fn capacity(&self) -> i128 {
        i128::from(self.rate.capacity) * MICRO
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let gained = i128::try_from(passed.as_micros()).unwrap_or(i128::MAX / MICRO)
            * i128::from(self.rate.per_minute)
            / 60;
        // Less than a millionth of a token stays in the elapsed time.
        if gained > 0 {
            self.level = (self.level + gained).min(self.capacity());
            self.at = now;
        }
    }

    fn refill_time(&self, missing: i128) -> Duration {
        let rate = i128::from(self.rate.per_minute.max(1));
        let micros = (missing.max(0) * 60 + rate - 1) / rate;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn full_bucket_admits_a_call_that_exceeds_its_capacity() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_minute(60), start);
        assert_eq!(bucket.take(600, start), Ok(()));
        assert_eq!(bucket.left(), 0);
        let wait = bucket.take(1, start).unwrap_err();
        assert!(
            wait >= 541 * SECOND && wait <= 542 * SECOND,
            "the debt is repaid first: {wait:?}"
        );
        assert!(bucket.take(1, start + 540 * SECOND).is_err());
        assert_eq!(bucket.take(1, start + 542 * SECOND), Ok(()));
    }

    #[test]
    fn correction_returns_unused_tokens_and_charges_excess_tokens() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_minute(100), start);
        bucket.take(100, start).unwrap();
        assert!(bucket.take(50, start).is_err());
        bucket.correct(100, 20, start);
        assert_eq!(bucket.left(), 80);
        bucket.take(50, start).unwrap();
        bucket.correct(50, 200, start);
        assert_eq!(bucket.left(), 0, "in debt");
        assert!(bucket.until_full() > 120 * SECOND);
    }

    /// The large call was rejected for ever, because small ones kept the bucket from filling.
    #[test]
    fn busy_bucket_admits_a_large_call_after_a_minute_and_keeps_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_minute(600), start);
        let (mut small, mut admitted, mut retry) = (0, Vec::new(), start + SECOND);
        for second in 0..600 {
            let now = start + second * SECOND;
            // Takes all that the refill brings.
            while bucket.take(10, now).is_ok() {
                small += 10;
            }
            if now >= retry {
                match bucket.take(1_200, now) {
                    Ok(()) => admitted.push(second),
                    Err(wait) => retry = now + wait,
                }
            }
        }
        assert_eq!(admitted.first(), Some(&61));
        assert!(admitted.len() >= 3, "{admitted:?}");
        let total = small + 1_200 * admitted.len() as u64;
        assert!(
            total <= 600 * 10 + 600 + 1_200,
            "{total} tokens in ten minutes"
        );
        assert!(small > 600, "small calls pass meanwhile: {small}");
    }

    #[test]
    fn large_call_that_nobody_waits_for_gives_no_later_call_an_advantage() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_minute(600), start);
        bucket.take(600, start).unwrap();
        assert!(bucket.take(1_200, start).is_err());
        let later = start + LONGEST_WAIT + FORGOTTEN_AFTER;
        bucket.take(10, later).unwrap();
        assert!(bucket.take(1_200, later).is_err());
    }

    proptest! {
        /// Any minute admits at most the rate plus one full bucket.
        #[test]
        fn one_minute_admits_at_most_the_rate_plus_a_full_bucket(asks in prop::collection::vec((0u64..5_000, 1u64..100), 1..300)) {
            let start = Instant::now();
            let mut bucket = Bucket::new(Rate::per_minute(6000), start);
            let mut now = start;
            let mut passed: Vec<(Instant, u64)> = Vec::new();
            for (millis, tokens) in asks {
                now += Duration::from_millis(millis);
                if bucket.take(tokens, now).is_ok() {
                    passed.push((now, tokens));
                }
            }
            for (from, _) in &passed {
                let sum: u64 = passed.iter().filter(|(at, _)| at >= from && *at < *from + 60 * SECOND).map(|p| p.1).sum();
                prop_assert!(sum <= 12_001, "{sum} tokens in a minute");
            }
        }
    }
}
