//! Faults that no request asked for.

use serde_json::Value;

use super::{Simulator, fault::Plan};

/// What can go wrong with a chat. An exception as the first event is missing, because it is not known whether the service
/// bills it.
const FAULTS: [&str; 16] = [
    "throttle",
    "unavailable",
    "internal",
    "not-ready",
    "model-timeout",
    "model-error",
    "slow 500ms",
    "hang",
    "stall",
    "reset",
    "cut",
    "no-stop",
    "no-metadata",
    "truncate",
    "bad-crc",
    "exception throttlingException",
];

impl Simulator {
    /// Lets so many of a thousand requests of Converse fail in a random way, whatever they ask for.
    pub fn fail_at_random(&self, per_mille: u16) {
        self.shared().random_faults = per_mille;
    }

    /// Returns what a request asks for, or a random fault.
    pub(super) fn plan(&self, request: &Value) -> Plan {
        let per_mille = self.shared().random_faults;
        if fastrand::u16(0..1000) >= per_mille {
            return Plan::of(request);
        }
        let fault = FAULTS[fastrand::usize(0..FAULTS.len())];
        Plan::from_texts([format!("[simulate {fault}]").as_str()])
    }
}
