//! The ledger's file: SQLite in WAL mode, one writer.

mod keys;
mod queue;
mod report;
mod rows;
mod schema;
mod writer;

use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, MAIN_DB, OpenFlags, OptionalExtension, params};
use tokio::sync::oneshot;

pub use keys::{Audit, KeyRow, audit, keys, one, put, put_audit, used};
pub use report::{By, Group, Report, report};
pub use rows::HoldRow;
pub use writer::Writer;

use super::{Raise, Window, record::Entry};
use crate::call::{Budget, NanoUsd, Usage};

/// Where the ledger lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Nothing outlives the process.
    Memory,
    File(PathBuf),
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The operating system has it: it survives the end of the process, however that comes.
    Process,
    /// The disk has it.
    Power,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub location: Location,
    pub durability: Durability,
    /// How long single records are kept; roll-ups stay.
    pub retention: Duration,
}

impl Settings {
    /// Nothing outlives the process.
    pub fn in_memory() -> Self {
        let retention = Duration::from_secs(90 * 86_400);
        Self {
            location: Location::Memory,
            durability: Durability::Process,
            retention,
        }
    }
}

/// The open file.
pub struct Store {
    location: Location,
    pub writer: Writer,
    /// No second gateway may write it; held until the process ends.
    _lock: Option<File>,
}

/// How long a write waits for somebody else who holds the file, such as a backup.
const BUSY: Duration = Duration::from_millis(250);

impl Store {
    /// Opens or makes the file, and starts its writer.
    ///
    /// # Errors
    /// If it cannot be written, belongs to another gateway that runs, or is newer than this program.
    pub fn open(settings: &Settings) -> Result<Self, String> {
        let (mut connection, lock) = match &settings.location {
            Location::Memory => (
                Connection::open_in_memory().map_err(|error| error.to_string())?,
                None,
            ),
            Location::File(path) => {
                let lock = lock(path)?;
                let connection = Connection::open(path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                (connection, Some(lock))
            }
        };
        prepare(&mut connection, settings.durability).map_err(|error| {
            match &settings.location {
                Location::File(path) => format!("{}: {error}", path.display()),
                Location::Memory => error,
            }
        })?;
        let writer = Writer::start(connection, settings)?;
        Ok(Self {
            location: settings.location.clone(),
            writer,
            _lock: lock,
        })
    }

    /// Is there something that a restart would find?
    pub fn is_durable(&self) -> bool {
        self.location != Location::Memory
    }

    /// The file's size in bytes, with what is not yet moved into it.
    pub fn bytes(&self) -> u64 {
        let Location::File(path) = &self.location else {
            return 0;
        };
        let size = |suffix: &str| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            std::fs::metadata(name).map_or(0, |metadata| metadata.len())
        };
        size("") + size("-wal")
    }

    /// The holds that are in the file.
    ///
    /// # Errors
    /// Those of SQLite, as text; so below.
    pub async fn holds(&self) -> Result<Vec<HoldRow>, String> {
        self.writer.run(rows::holds).await
    }

    /// What each budget begins with: what is settled of its current window, and an override that holds.
    pub async fn opening(
        &self,
        budgets: Vec<Arc<Budget>>,
        now: Timestamp,
    ) -> Result<Vec<(Arc<Budget>, NanoUsd, Vec<Raise>)>, String> {
        self.writer
            .run(move |connection| {
                let one = |budget: Arc<Budget>| {
                    let window = Window::around(budget.per, &budget.timezone, now);
                    let settled = report::settled(connection, &budget, window.start)?;
                    let sql = "SELECT amount, until FROM overrides WHERE budget = ? AND until > ?";
                    let mut statement = connection.prepare_cached(sql)?;
                    let raises =
                        statement.query_map(params![&*budget.id, now.as_second()], |row| {
                            let by: i64 = row.get(0)?;
                            Ok(Raise {
                                by: NanoUsd(u64::try_from(by).unwrap_or(0)),
                                until: row.get(1)?,
                            })
                        })?;
                    let raises = raises.collect::<rusqlite::Result<_>>()?;
                    Ok((budget, settled, raises))
                };
                budgets.into_iter().map(one).collect()
            })
            .await
    }

    /// The end users of a key that have spent something since `since`, in Unix seconds.
    pub async fn end_users(&self, key_id: &str, since: i64) -> Result<Vec<String>, String> {
        let key_id = key_id.to_owned();
        self.writer
            .run(move |connection| report::end_users(connection, &key_id, since))
            .await
    }

    pub async fn put_override(
        &self,
        id: String,
        raise: Raise,
        reason: String,
        audit: Audit,
    ) -> Result<(), String> {
        self.writer
            .run(move |connection| {
                let by = i64::try_from(raise.by.0).unwrap_or(i64::MAX);
                connection.execute(
                    "INSERT INTO overrides (budget, amount, until, reason) VALUES (?, ?, ?, ?)",
                    params![id, by, raise.until, reason],
                )?;
                keys::put_audit(connection, &audit)
            })
            .await
    }

    /// The records of these requests whose cost is not certain and was not corrected yet, with what was booked.
    pub async fn uncertain(
        &self,
        request_ids: Vec<String>,
    ) -> Result<Vec<(Entry, NanoUsd)>, String> {
        self.writer
            .run(move |connection| {
                let mut statement = connection.prepare(
                    "SELECT * FROM records WHERE request_id = ?1 AND kind IN ('presumed', 'estimated')
                     AND NOT EXISTS (SELECT 1 FROM records WHERE request_id = ?1 AND kind = 'adjust')",
                )?;
                let mut found = Vec::new();
                for id in request_ids {
                    let one = statement.query_row([id], |row| {
                        let cost: Option<i64> = row.get("cost")?;
                        Ok((rows::entry(row)?, NanoUsd(u64::try_from(cost.unwrap_or(0)).unwrap_or(0))))
                    });
                    found.extend(one.optional()?);
                }
                Ok(found)
            })
            .await
    }

    pub async fn correct(&self, entry: Entry, usage: Usage, delta: i64) -> Result<(), String> {
        let now = Timestamp::now().as_millisecond();
        self.writer
            .run(move |connection| rows::correct(connection, &entry, &usage, delta, now))
            .await
    }

    /// What is free on its disk; none where it is in memory.
    pub fn free_bytes(&self) -> Option<u64> {
        let Location::File(path) = &self.location else {
            return None;
        };
        let disk = rustix::fs::statvfs(path).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Runs `query` beside the writer where that is possible.
    ///
    /// # Errors
    /// Those of SQLite, as text.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let Location::File(path) = &self.location else {
            return self.writer.run(move |connection| query(connection)).await;
        };
        let path = path.clone();
        let (tell, told) = oneshot::channel();
        // A thread of its own: reports are rare, and must not hold up what serves requests.
        std::thread::Builder::new()
            .name("lintel-report".into())
            .spawn(move || {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let result = Connection::open_with_flags(path, flags).and_then(|connection| {
                    connection.busy_timeout(BUSY)?;
                    query(&connection)
                });
                let _ = tell.send(result.map_err(|error| error.to_string()));
            })
            .map_err(|error| error.to_string())?;
        told.await
            .unwrap_or_else(|_| Err("the report was given up".to_owned()))
    }
}

fn lock(path: &std::path::Path) -> Result<File, String> {
    let mut name = path.to_path_buf().into_os_string();
    name.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| format!("{}: {error}", PathBuf::from(&name).display()))?;
    file.try_lock()
        .map_err(|_| format!("{}: another lintel runs with this ledger", path.display()))?;
    Ok(file)
}

fn prepare(connection: &mut Connection, durability: Durability) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    // SQLite opens what it may not write for reading, says nothing, and stays so when the file may be written again.
    if connection.is_readonly(MAIN_DB).map_err(text)? {
        return Err(
            "it may be read but not written; give lintel's user the right to write it".to_owned(),
        );
    }
    connection.busy_timeout(BUSY).map_err(text)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(text)?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    connection
        .pragma_update(None, "synchronous", synchronous)
        .map_err(text)?;
    connection.set_prepared_statement_cache_capacity(64);
    schema::migrate(connection)
}
