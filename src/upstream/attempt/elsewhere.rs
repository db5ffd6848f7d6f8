//! Where an answer is continued.

use super::{Attempts, choice::Choice};
use crate::call::Call;

impl Attempts {
    /// Returns the fittest place of the model of `call` beside the one that received its last request. `None` if there is one
    /// place only.
    pub fn elsewhere<T>(&self, call: &Call<T>) -> Option<usize> {
        let targets = &call.model.targets;
        if targets.places.is_empty() {
            return None;
        }
        let last = call.trace.target();
        let at = targets
            .iter()
            .position(|target| Some(target) == last.as_ref());
        let tried = at.map_or(0, |at| 1 << at);
        Choice::new(&self.quotas.registry, targets, call.model.label()).next(tried)
    }
}
