//! What answers need: the limit of the output that a budget which does not admit the automatic one gets instead.

use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;

use crate::{
    call::Call,
    model::AUTO_LEAST,
    operation::{CallEnd, EndReason},
};

/// The most pairs of a key and a model that are remembered. Those without recent calls make room, and begin anew.
const CAPACITY: usize = 10_000;

/// The limits that can be learned, in tokens. Each is a quarter more than the one before.
const LIMITS: [u32; 10] = [
    AUTO_LEAST, 5120, 6400, 8000, 10_000, 12_500, 15_625, 19_531, 24_414, 30_517,
];

/// The number of answers after which older ones count half.
const MEMORY: u32 = 1000;

/// The id of a key and the name of a model.
type Pair = (String, String);

/// The lengths of the answers of each key by each model. Cheap to clone.
#[derive(Clone)]
pub struct Outputs(Arc<Cache<Pair, Arc<Mutex<Lengths>>>>);

impl Default for Outputs {
    fn default() -> Self {
        Self(Arc::new(Cache::new(CAPACITY)))
    }
}

impl Outputs {
    /// Returns what records the length of the answers to `call`.
    pub(super) fn of<T>(&self, call: &Call<T>) -> Recorder {
        Recorder {
            outputs: self.clone(),
            key: call.caller.key_id.clone(),
            model: call.model.name.clone(),
            requests: u64::from(call.plan.worst.requests.max(1)),
            has_output: call.plan.worst.output_tokens > 0,
        }
    }

    /// Records the length of a complete answer, in tokens.
    fn record(&self, key: &str, model: &str, tokens: u64) {
        let pair = (key.to_owned(), model.to_owned());
        let new = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(lengths) = self.0.get_or_insert_with(&pair, new);
        lengths
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(tokens);
    }

    /// Returns the limit that 99 of 100 answers stay below by a fifth, in tokens; at least [`AUTO_LEAST`].
    pub fn limit(&self, key: &str, model: &str) -> u32 {
        let pair = (key.to_owned(), model.to_owned());
        self.0.get(&pair).map_or(AUTO_LEAST, |lengths| {
            lengths
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .limit()
        })
    }
}

/// Records the length of the answers to a call.
pub struct Recorder {
    outputs: Outputs,
    key: String,
    model: String,
    requests: u64,
    has_output: bool,
}

impl Recorder {
    /// Records the answers of a call that has ended. Those that broke off say nothing.
    pub fn record(&self, end: &CallEnd) {
        let is_complete = matches!(end.reason, EndReason::Complete | EndReason::Drained);
        if let Some(usage) = end.usage.filter(|_| is_complete && self.has_output) {
            let tokens = usage.output.div_ceil(self.requests);
            self.outputs.record(&self.key, &self.model, tokens);
        }
    }
}

/// The number of answers for which each of [`LIMITS`] is the least with a margin, and of longer ones.
#[derive(Default)]
struct Lengths {
    counts: [u32; LIMITS.len()],
    longer: u32,
}

impl Lengths {
    fn record(&mut self, tokens: u64) {
        let fits = |limit: &u32| tokens.saturating_mul(5) <= u64::from(*limit) * 4;
        match LIMITS.iter().position(fits) {
            Some(nth) => self.counts[nth] += 1,
            None => self.longer += 1,
        }
        if self.all() > MEMORY {
            self.longer /= 2;
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
    }

    fn all(&self) -> u32 {
        self.counts.iter().sum::<u32>() + self.longer
    }

    fn limit(&self) -> u32 {
        let needed = self.all() - self.all() / 100;
        let mut answers = 0;
        for (limit, count) in LIMITS.iter().zip(self.counts) {
            answers += count;
            if answers >= needed {
                return *limit;
            }
        }
        u32::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_covers_99_of_100_answers_with_a_margin() {
        let outputs = Outputs::default();
        let limit = || outputs.limit("key", "model");
        assert_eq!(limit(), AUTO_LEAST);
        for _ in 0..99 {
            outputs.record("key", "model", 3000);
        }
        assert_eq!(limit(), AUTO_LEAST);
        outputs.record("key", "model", 20_000);
        assert_eq!(limit(), AUTO_LEAST, "one of a hundred");
        outputs.record("key", "model", 6000);
        assert_eq!(
            limit(),
            8000,
            "two of a hundred, of which one may be cut off"
        );
        assert_eq!(outputs.limit("other", "model"), AUTO_LEAST);
        assert_eq!(outputs.limit("key", "other"), AUTO_LEAST);
    }

    /// Answers that a limit cuts off raise it.
    #[test]
    fn limit_that_is_reached_grows_until_it_is_none() {
        let outputs = Outputs::default();
        let mut limits = Vec::new();
        while limits.last() != Some(&u32::MAX) {
            let limit = outputs.limit("key", "model");
            // More than one of a hundred.
            (0..500).for_each(|_| outputs.record("key", "model", u64::from(limit)));
            limits.push(limit);
        }
        assert_eq!(limits[..3], [AUTO_LEAST, 5120, 6400]);
    }

    #[test]
    fn old_answers_are_forgotten() {
        let outputs = Outputs::default();
        (0..1000).for_each(|_| outputs.record("key", "model", 20_000));
        assert_eq!(outputs.limit("key", "model"), 30_517);
        (0..9000).for_each(|_| outputs.record("key", "model", 100));
        assert_eq!(outputs.limit("key", "model"), AUTO_LEAST);
    }
}
