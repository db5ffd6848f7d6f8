//! The one thread that writes. What waits for it is committed together.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    Location, Settings,
    queue::{Queue, Sender},
    rows::{self, HoldRow},
};
use crate::{call::NanoUsd, ledger::record::Record, metrics};

/// The most that is committed together.
const BATCH: usize = 512;

/// How often a broken disk is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Settlements that wait for a broken disk. More are lost, and counted.
const MAX_BACKLOG: usize = 200_000;

/// How often old records are looked for.
const PRUNE: Duration = Duration::from_secs(3600);

type Exclusive = Box<dyn FnOnce(&mut Connection) + Send>;

enum Job {
    /// Answered once it is committed, if somebody waits for that.
    Hold(HoldRow, Option<oneshot::Sender<bool>>),
    Raise(Arc<str>, NanoUsd),
    /// A hold whose call never left.
    Forget(Arc<str>),
    Settle(Box<Record>),
    /// Something else that needs the file for itself.
    Run(Exclusive),
}

/// Is the last write well?
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    broken: AtomicBool,
    backlog: AtomicUsize,
}

impl Health {
    pub fn is_well(&self) -> bool {
        !self.0.broken.load(Ordering::Relaxed)
    }

    /// Settlements that are not in the file yet.
    pub fn backlog(&self) -> usize {
        self.0.backlog.load(Ordering::Relaxed)
    }
}

/// The writer's end for everybody else. The thread ends when the last clone is gone, after all that was sent.
#[derive(Clone)]
pub struct Writer {
    jobs: Arc<Sender<Job>>,
    pub health: Health,
}

impl Writer {
    /// # Errors
    /// If no thread can be started.
    pub fn start(connection: Connection, settings: &Settings) -> Result<Self, String> {
        let (jobs, work) = Queue::new();
        let health = Health::default();
        let retention = settings.retention;
        // A process's memory is no place for them.
        let records = settings.location != Location::Memory;
        let mut thread = Thread {
            connection,
            health: health.clone(),
            backlog: VecDeque::new(),
            retention,
            records,
            failed: None,
        };
        std::thread::Builder::new()
            .name("lintel-ledger".into())
            .spawn(move || thread.run(&work))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            jobs: Arc::new(jobs),
            health,
        })
    }

    /// Writes a hold; true once it is committed.
    pub async fn hold(&self, hold: HoldRow) -> bool {
        let (tell, told) = oneshot::channel();
        self.jobs.send(Job::Hold(hold, Some(tell)), true);
        told.await.unwrap_or(false)
    }

    /// Writes a hold, when there is time.
    pub fn note(&self, hold: HoldRow) {
        self.jobs.send(Job::Hold(hold, None), false);
    }

    /// Writes that a hold was extended, when there is time.
    pub fn raise(&self, request_id: Arc<str>, amount: NanoUsd) {
        self.jobs.send(Job::Raise(request_id, amount), false);
    }

    /// Takes a hold out whose call never left, when there is time.
    pub fn forget(&self, request_id: Arc<str>) {
        self.jobs.send(Job::Forget(request_id), false);
    }

    /// Writes a record in a hold's place, when there is time.
    pub fn settle(&self, record: Record) {
        self.jobs.send(Job::Settle(Box::new(record)), false);
    }

    /// Runs `work` on the writer's own connection, in a transaction.
    ///
    /// # Errors
    /// Those of SQLite, as text.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (tell, told) = oneshot::channel();
        let job = Job::Run(Box::new(move |connection| {
            let result = connection.transaction().and_then(|transaction| {
                let done = work(&transaction)?;
                transaction.commit().map(|()| done)
            });
            let _ = tell.send(result.map_err(|error| error.to_string()));
        }));
        self.jobs.send(job, true);
        told.await
            .unwrap_or_else(|_| Err("the ledger is closed".to_owned()))
    }

    /// Everything that was sent before is in the file, if it can be written at all.
    pub async fn flush(&self) {
        // The answer comes behind all other work; what it is does not matter.
        let _ = self.run(|_| Ok(())).await;
    }

    /// Flushes, and moves everything into the one file, so that a copy of it is whole.
    pub async fn checkpoint(&self) {
        let (tell, told) = oneshot::channel();
        let job = Job::Run(Box::new(move |connection| {
            // The first column says that somebody else was reading, which is no error to SQLite.
            let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, bool>(0)
            });
            if !matches!(busy, Ok(false)) {
                tracing::warn!(
                    ?busy,
                    "the ledger stays in two files: a copy needs its '-wal' file too"
                );
            }
            let _ = tell.send(());
        }));
        self.jobs.send(job, true);
        let _ = told.await;
    }
}

struct Thread {
    connection: Connection,
    health: Health,
    /// Settlements that could not be written yet, oldest first.
    backlog: VecDeque<Job>,
    retention: Duration,
    /// Single records are kept, not only their sums.
    records: bool,
    /// When the last try failed.
    failed: Option<Instant>,
}

/// Why a batch is not in the file.
#[derive(Debug)]
enum Failure {
    Sqlite(#[expect(dead_code, reason = "for the log")] rusqlite::Error),
    /// It failed a moment ago.
    Resting,
}

impl Thread {
    fn run(&mut self, work: &Queue<Job>) {
        let mut pruned = Instant::now();
        loop {
            let patience = if self.backlog.is_empty() {
                PRUNE
            } else {
                AGAIN
            };
            let Some(jobs) = work.next(BATCH, patience) else {
                return self.write(Vec::new());
            };
            let mut batch = Vec::with_capacity(jobs.len());
            for job in jobs {
                match job {
                    Job::Run(work) => {
                        // What came before it must be seen by it.
                        self.write(std::mem::take(&mut batch));
                        work(&mut self.connection);
                    }
                    job => batch.push(job),
                }
            }
            self.write(batch);
            if pruned.elapsed() >= PRUNE {
                pruned = Instant::now();
                self.prune();
            }
        }
    }

    /// One transaction. If it fails, who waits is told so, and settlements are kept for later.
    fn write(&mut self, batch: Vec<Job>) {
        if batch.is_empty() && self.backlog.is_empty() {
            return;
        }
        let began = Instant::now();
        // A broken disk is not asked again by every call.
        let rests = self.failed.is_some_and(|at| at.elapsed() < AGAIN);
        let result = if rests {
            Err(Failure::Resting)
        } else {
            self.commit(&batch).map_err(Failure::Sqlite)
        };
        if !rests {
            metrics::ledger_append(began.elapsed());
            self.failed = result.is_err().then(Instant::now);
        }
        let well = result.is_ok();
        if self.health.0.broken.swap(!well, Ordering::Relaxed) == well {
            match &result {
                Ok(()) => tracing::warn!("the ledger can be written again"),
                Err(error) => tracing::error!(
                    ?error,
                    "the ledger cannot be written; calls under a budget are refused"
                ),
            }
        }
        match result {
            Ok(()) => self.backlog.clear(),
            Err(Failure::Sqlite(_)) => metrics::ledger_error(),
            Err(Failure::Resting) => {}
        }
        for job in batch {
            match job {
                Job::Hold(_, Some(tell)) => {
                    let _ = tell.send(well);
                }
                // A hold that stays behind is presumed at the next start, which is the safe side.
                Job::Settle(_) | Job::Raise(..) if !well => self.backlog.push_back(job),
                _ => {}
            }
        }
        while self.backlog.len() > MAX_BACKLOG {
            self.backlog.pop_front();
            metrics::ledger_record_lost();
        }
        self.health
            .0
            .backlog
            .store(self.backlog.len(), Ordering::Relaxed);
    }

    fn commit(&mut self, batch: &[Job]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for job in self.backlog.iter().chain(batch) {
            match job {
                Job::Hold(hold, _) => rows::insert_hold(&transaction, hold)?,
                Job::Forget(request_id) => rows::delete_hold(&transaction, request_id)?,
                Job::Raise(request_id, amount) => {
                    rows::raise_hold(&transaction, request_id, *amount)?
                }
                Job::Settle(record) if self.records => rows::settle(&transaction, record)?,
                Job::Settle(record) => rows::sum_up(&transaction, record)?,
                Job::Run(_) => {}
            }
        }
        transaction.commit()
    }

    /// Takes out single records that are too old; their sums stay.
    fn prune(&mut self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let before = i64::try_from(now.saturating_sub(self.retention).as_millis()).unwrap_or(0);
        let removed = self
            .connection
            .execute("DELETE FROM records WHERE at < ?", [before]);
        if let Err(error) = removed {
            tracing::warn!(%error, "old records of the ledger could not be removed");
        }
    }
}
