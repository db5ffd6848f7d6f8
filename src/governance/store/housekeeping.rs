//! Work on the database that no call waits for, in slices between the batches of the writer.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Result};

use super::responses;

/// The most records that are deleted at once, which takes a few milliseconds.
const SLICE: usize = 500;

/// The pause between two slices while there is more to delete, so that calls have most of the writer's time.
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// The pause after everything was deleted.
const IDLE_PAUSE: Duration = Duration::from_secs(60);

/// The most free pages that are given back to the file system at once.
const FREED_PAGES: u32 = 256;

/// Deletes what has expired.
#[derive(Debug)]
pub struct Housekeeping {
    retention: Duration,
    due: Instant,
}

impl Housekeeping {
    /// Creates housekeeping that is due at once, because a process may live for a short time only.
    pub fn new(retention: Duration) -> Self {
        Self {
            retention,
            due: Instant::now(),
        }
    }

    /// Returns the time until the next slice.
    pub fn due_in(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Runs one slice if it is due.
    pub fn run_if_due(&mut self, connection: &Connection) {
        if !self.due_in().is_zero() {
            return;
        }
        let more = self.slice(connection).unwrap_or_else(|error| {
            tracing::warn!(%error, "what has expired in the store cannot be deleted");
            false
        });
        self.due = Instant::now() + if more { BUSY_PAUSE } else { IDLE_PAUSE };
    }

    /// Deletes some records that are older than the retention, overrides that have ended, and some expired responses.
    /// Roll-ups stay. Returns whether there may be more.
    fn slice(&self, connection: &Connection) -> Result<bool> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let before = i64::try_from(now.saturating_sub(self.retention).as_millis()).unwrap_or(0);
        let sql = "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE at < ? ORDER BY at LIMIT ?)";
        let removed = connection
            .prepare_cached(sql)?
            .execute((before, SLICE as i64))?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        connection
            .prepare_cached("DELETE FROM overrides WHERE until < ?")?
            .execute([seconds])?;
        let milliseconds = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let responses = responses::delete_expired(connection, milliseconds)?;
        if removed + responses.deleted > 0 {
            connection.execute_batch(&format!("PRAGMA incremental_vacuum({FREED_PAGES})"))?;
        }
        Ok(removed == SLICE || responses.has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::store::schema;

    /// All expired records were deleted at once, while calls waited for the writer.
    #[test]
    fn expired_records_are_deleted_in_slices() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
            INSERT INTO records (request_id, at, ended_at, key_id, team, end_user, model, target, region, input,
            cache_read, cache_write_5m, cache_write_1h, output, reasoning, server_tool_uses, price, kind, status, how, attempts)
            SELECT i, i, i, '', '', '', '', '', '', 0, 0, 0, 0, 0, 0, 0, '', 'actual', 'ok', 'ok', 1 FROM n";
        connection.execute(insert, []).unwrap();
        let housekeeping = Housekeeping::new(Duration::ZERO);
        let left = || -> i64 {
            let count = "SELECT COUNT(*) FROM records";
            connection.query_row(count, [], |row| row.get(0)).unwrap()
        };
        for (more, expected) in [(true, 700), (true, 200), (false, 0)] {
            assert_eq!(housekeeping.slice(&connection).unwrap(), more);
            assert_eq!(left(), expected);
        }
    }
}
