//! Room in the quota of a target.

use std::sync::Arc;

use super::Health;

/// Room in the quota of a target for the requests of a call that are not sent yet. Given back when dropped.
#[derive(Debug)]
pub struct Room {
    /// The index of the target among the places of its model.
    pub place: usize,
    health: Arc<Health>,
    tokens: i64,
    /// Where they count.
    slot: u64,
}

impl Room {
    /// Counts `tokens` in the quota of `health`.
    pub fn new(place: usize, health: &Arc<Health>, tokens: u64) -> Self {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX / 2);
        Self {
            place,
            slot: health.headroom.count(tokens),
            health: health.clone(),
            tokens,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.health.headroom.correct(self.slot, -self.tokens);
    }
}
