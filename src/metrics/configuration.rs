//! The configuration in force.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::gauge;

use super::{RELOAD_OK, RELOADED_AT};

/// Records the outcome of a reload, or that a process has started with its configuration.
pub fn config_reloaded(is_ok: bool) {
    gauge!(RELOAD_OK).set(f64::from(u8::from(is_ok)));
    if is_ok {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        gauge!(RELOADED_AT).set(now.map_or(0.0, |now| now.as_secs_f64()));
    }
}
