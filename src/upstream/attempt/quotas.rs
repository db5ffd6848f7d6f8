//! Whether AWS would admit a call, for decisions before it is reserved.

use super::{admission::Admission, registry::Registry};
use crate::{call::Call, model::Strategy, operation::Operation};

/// What is known of the quotas of targets, and which calls wait for them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Quotas {
    pub(super) registry: Registry,
    pub(super) admission: Admission,
}

impl Quotas {
    /// Reports whether `call` fits into the quota of a target now, by the estimate. True unless its model has the strategy
    /// `headroom`.
    pub fn admit<T: Operation>(&self, call: &Call<T>) -> bool {
        call.model.targets.strategy != Strategy::Headroom
            || self.admission.has_room(&self.registry, call)
    }
}
