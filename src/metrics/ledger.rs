//! Holds and the store of the ledger.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::{
    HOLD_OLDEST, HOLDS_OPEN, HOLDS_PRESUMED, LEDGER_APPEND, LEDGER_BACKLOG, LEDGER_BYTES,
    LEDGER_ERRORS, LEDGER_LOST, RESPONSES_LOST, STORE_FREE,
};

/// Sets the number of open holds and the age of the oldest.
pub fn holds(open: usize, oldest: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    gauge!(HOLDS_OPEN).set(open as f64);
    gauge!(HOLD_OLDEST).set(oldest.as_secs_f64());
}

/// Counts a hold that was settled as presumed.
pub fn hold_presumed() {
    counter!(HOLDS_PRESUMED).increment(1);
}

/// Records the time to write a batch, successfully or not.
pub fn ledger_append(took: Duration) {
    histogram!(LEDGER_APPEND).record(took);
}

/// Counts a batch that could not be written.
pub fn ledger_error() {
    counter!(LEDGER_ERRORS).increment(1);
}

/// Counts a record that was dropped before it could be written.
pub fn ledger_record_lost() {
    counter!(LEDGER_LOST).increment(1);
}

/// Counts a response that could not be stored.
pub fn response_lost() {
    counter!(RESPONSES_LOST).increment(1);
}

/// Sets the gauges of the store. `bytes` is its size, `free` the free space on its disk in bytes, `backlog` the number
/// of records waiting for it.
#[expect(clippy::cast_precision_loss, reason = "sizes stay far below 2^53")]
pub fn ledger_state(bytes: u64, free: Option<u64>, backlog: usize) {
    gauge!(LEDGER_BYTES).set(bytes as f64);
    if let Some(free) = free {
        gauge!(STORE_FREE).set(free as f64);
    }
    gauge!(LEDGER_BACKLOG).set(backlog as f64);
}
