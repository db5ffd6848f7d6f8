//! The store of the ledger: an SQLite database in WAL mode with one writer.

mod housekeeping;
mod keys;
mod lock;
mod queue;
mod report;
mod responses;
mod rows;
mod schema;
mod windows;
mod writer;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, MAIN_DB, OpenFlags, params};
use tokio::{sync::oneshot, task::spawn_blocking};

pub use keys::{
    Audit, KeyRow, find_key, list_audit, list_keys, put_audit, put_key, record_key_use,
};
pub use report::{GroupBy, ReportQuery, ReportRow, run_report};
pub use responses::{ResponseRow, SealedContent, SizeLimits};
pub use rows::HoldRow;
pub use windows::{end_users, read_windows, recorded_until, salt, seal_secret};
pub use writer::Writer;

use super::{LimitOverride, record::LedgerEntry};
use crate::money::{NanoUsd, Usage};

/// Where the ledger is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In memory, until the process ends.
    Memory,
    /// In an SQLite file.
    File(PathBuf),
}

/// The failure that a committed write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, including a crash: the operating system has the write.
    Process,
    /// A loss of power: the disk has the write.
    Power,
}

/// The settings in `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    pub location: Location,
    pub durability: Durability,
    /// How long single records are kept. Roll-ups are kept forever.
    pub retention: Duration,
}

impl StoreSettings {
    /// Returns the settings of a store in memory.
    pub fn in_memory() -> Self {
        let retention = Duration::from_secs(90 * 86_400);
        Self {
            location: Location::Memory,
            durability: Durability::Process,
            retention,
        }
    }
}

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Store {
    location: Location,
    pub writer: Writer,
    /// For short queries that calls wait for. `None` if the database is in memory.
    reader: Option<Arc<Mutex<Connection>>>,
}

/// The size in bytes to which the write-ahead log is cut.
const WAL_LIMIT: i64 = 64 << 20;

/// How long a write waits for another process that locks the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

impl Store {
    /// Opens or creates the database, and starts its writer.
    ///
    /// # Errors
    /// Returns the reason if the file cannot be written, is open in another gateway, or has a newer schema.
    pub fn open(settings: &StoreSettings) -> Result<Self, String> {
        let (mut connection, lock) = match &settings.location {
            Location::Memory => (
                Connection::open_in_memory().map_err(|error| error.to_string())?,
                None,
            ),
            Location::File(path) => {
                let lock = lock::take(path)?;
                let connection = Connection::open(path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                (connection, Some(lock))
            }
        };
        configure(&mut connection, settings.durability).map_err(|error| {
            match &settings.location {
                Location::File(path) => format!("{}: {error}", path.display()),
                Location::Memory => error,
            }
        })?;
        let reader = match &settings.location {
            Location::Memory => None,
            Location::File(path) => {
                let reader = open_to_read(path).map_err(|error| error.to_string())?;
                Some(Arc::new(Mutex::new(reader)))
            }
        };
        let writer = Writer::start(connection, lock, settings)?;
        Ok(Self {
            location: settings.location.clone(),
            writer,
            reader,
        })
    }

    /// Returns whether the database survives the process.
    pub fn is_durable(&self) -> bool {
        self.location != Location::Memory
    }

    /// Returns the size of the database and its write-ahead log in bytes, or zero if it is in memory.
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

    /// Returns the stored holds, oldest first.
    ///
    /// # Errors
    /// This and the methods below return SQLite's message.
    pub async fn holds(&self) -> Result<Vec<HoldRow>, String> {
        self.writer.run(rows::holds).await
    }

    /// Stores an override and its audit entry.
    pub async fn put_override(
        &self,
        id: String,
        limit_override: LimitOverride,
        reason: String,
        audit: Audit,
    ) -> Result<(), String> {
        self.writer
            .run(move |connection| {
                let by = i64::try_from(limit_override.by.0).unwrap_or(i64::MAX);
                connection.execute(
                    "INSERT INTO overrides (budget, amount, until, reason) VALUES (?, ?, ?, ?)",
                    params![id, by, limit_override.until, reason],
                )?;
                keys::put_audit(connection, &audit)
            })
            .await
    }

    /// Returns the estimated and presumed records of these calls, and of all calls that were admitted within `all`, in Unix
    /// milliseconds, each with its settled cost. Leaves out what was corrected before.
    pub async fn uncertain_records(
        &self,
        request_ids: Vec<String>,
        all: Option<Range<i64>>,
    ) -> Result<Vec<(LedgerEntry, NanoUsd)>, String> {
        self.writer
            .run(move |connection| rows::uncertain_records(connection, &request_ids, all))
            .await
    }

    /// Stores a correction of `delta` nano-dollars to the record of `entry`.
    pub async fn correct(
        &self,
        entry: LedgerEntry,
        usage: Usage,
        delta: i64,
    ) -> Result<(), String> {
        let now = Timestamp::now().as_millisecond();
        self.writer
            .run(move |connection| rows::correct(connection, &entry, &usage, delta, now))
            .await
    }

    /// Returns the free space of the file's disk in bytes, or none if the database is in memory.
    pub fn free_bytes(&self) -> Option<u64> {
        let Location::File(path) = &self.location else {
            return None;
        };
        let disk = rustix::fs::statvfs(path).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Runs a short `query` that a call waits for, on the shared reading connection, or on the writer's if the database is in
    /// memory.
    ///
    /// # Errors
    /// Returns SQLite's message.
    pub async fn look_up<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let Some(reader) = self.reader.clone() else {
            return self.writer.run(query).await;
        };
        let read = move || query(&reader.lock().unwrap_or_else(PoisonError::into_inner));
        match spawn_blocking(read).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Runs `query` on a connection of its own, or on the writer's if the database is in memory.
    ///
    /// # Errors
    /// Returns SQLite's message.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let Location::File(path) = &self.location else {
            return self.writer.run(move |connection| query(connection)).await;
        };
        let path = path.clone();
        let (sender, receiver) = oneshot::channel();
        // Reports are rare and slow, so they get a thread of their own and hold up neither requests nor the writer.
        std::thread::Builder::new()
            .name("lintel-report".into())
            .spawn(move || {
                let result = open_to_read(&path).and_then(|connection| query(&connection));
                let _ = sender.send(result.map_err(|error| error.to_string()));
            })
            .map_err(|error| error.to_string())?;
        receiver
            .await
            .unwrap_or_else(|_| Err("the report ended without a result".to_owned()))
    }
}

/// Opens a connection that cannot write.
fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn configure(connection: &mut Connection, durability: Durability) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    // SQLite silently opens a file without write permission read-only, and keeps it so even if the permission comes
    // later.
    if connection.is_readonly(MAIN_DB).map_err(text)? {
        return Err(
            "it may be read but not written; grant lintel's user write permission".to_owned(),
        );
    }
    connection.busy_timeout(BUSY_TIMEOUT).map_err(text)?;
    // Takes effect in a new file only.
    connection
        .pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .map_err(text)?;
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
    // Cuts the write-ahead log after a burst or a long report, instead of keeping its size for good.
    connection
        .pragma_update(None, "journal_size_limit", WAL_LIMIT)
        .map_err(text)?;
    connection.set_prepared_statement_cache_capacity(64);
    schema::migrate(connection)
}
