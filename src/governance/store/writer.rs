//! The one thread that writes to the database. It commits waiting jobs together.

use std::{
    collections::VecDeque,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    Location, StoreSettings,
    housekeeping::Housekeeping,
    queue::{Queue, Sender},
    rows::{self, HoldRow},
};
use crate::{governance::record::Record, metrics, money::NanoUsd};

/// The most jobs that are committed together.
const MAX_BATCH: usize = 512;

/// How long the writer waits after a failed write before it tries again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The most jobs that are kept while writes fail. Older ones are dropped and counted.
const MAX_BACKLOG: usize = 200_000;

type ExclusiveTask = Box<dyn FnOnce(&mut Connection) + Send>;

enum Job {
    /// Inserts a hold, and reports to the sender, if any, whether it was committed.
    Hold(HoldRow, Option<oneshot::Sender<bool>>),
    /// Sets the amount of a hold that has grown, and reports to the sender, if any, whether it was committed.
    Extend(Arc<str>, NanoUsd, Option<oneshot::Sender<bool>>),
    /// Deletes the hold of a call that was never sent.
    Forget(Arc<str>),
    /// Inserts a record and deletes its hold.
    Settle(Box<Record>),
    /// Runs other work on the connection.
    Run(ExclusiveTask),
    /// Runs work that must see every job before it. It is dropped if some of them could not be written yet.
    RunInOrder(ExclusiveTask),
}

/// The state of the writer, for other threads.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    is_broken: AtomicBool,
    has_ended: AtomicBool,
    backlog: AtomicUsize,
}

impl Health {
    /// Returns whether the writer runs and its last write succeeded.
    pub fn is_healthy(&self) -> bool {
        !self.0.is_broken.load(Ordering::Relaxed) && !self.0.has_ended.load(Ordering::Relaxed)
    }

    /// Returns the number of jobs that could not be written yet.
    pub fn backlog(&self) -> usize {
        self.0.backlog.load(Ordering::Relaxed)
    }
}

/// A handle to the writer thread, which finishes its jobs and ends when the last clone is dropped.
#[derive(Clone)]
pub struct Writer {
    jobs: Arc<Sender<Job>>,
    pub health: Health,
}

impl Writer {
    /// Starts the writer thread, which keeps `lock` until its last job is done.
    ///
    /// # Errors
    /// Returns the reason if the thread cannot be started.
    pub fn start(
        connection: Connection,
        lock: Option<File>,
        settings: &StoreSettings,
    ) -> Result<Self, String> {
        let (jobs, queue) = Queue::new();
        let health = Health::default();
        // A store in memory would grow with every call.
        let keeps_records = settings.location != Location::Memory;
        let mut thread = WriterThread {
            connection,
            _lock: lock,
            health: health.clone(),
            backlog: VecDeque::new(),
            housekeeping: Housekeeping::new(settings.retention),
            keeps_records,
            failed_at: None,
        };
        let end = WriterEnd(queue.clone(), health.clone());
        std::thread::Builder::new()
            .name("lintel-ledger".into())
            .spawn(move || {
                let _end = end;
                thread.run(&queue);
            })
            .map_err(|error| error.to_string())?;
        Ok(Self {
            jobs: Arc::new(jobs),
            health,
        })
    }

    /// Writes a hold at once. The receiver gets whether it was committed.
    pub fn hold(&self, hold: HoldRow) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        self.jobs.send(Job::Hold(hold, Some(sender)), true);
        receiver
    }

    /// Queues a hold.
    pub fn note(&self, hold: HoldRow) {
        self.jobs.send(Job::Hold(hold, None), false);
    }

    /// Queues the new amount of a hold. The receiver gets whether it was committed.
    pub fn extend(&self, request_id: Arc<str>, amount: NanoUsd) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        self.jobs
            .send(Job::Extend(request_id, amount, Some(sender)), true);
        receiver
    }

    /// Queues the deletion of a hold whose call was never sent.
    pub fn forget(&self, request_id: Arc<str>) {
        self.jobs.send(Job::Forget(request_id), false);
    }

    /// Queues a record, which replaces its hold.
    pub fn settle(&self, record: Record) {
        if !self.jobs.send(Job::Settle(Box::new(record)), false) {
            metrics::ledger_record_lost();
        }
    }

    /// Runs `work` in a transaction on the writer's connection.
    ///
    /// # Errors
    /// Returns SQLite's message.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (sender, receiver) = oneshot::channel();
        let job = Job::Run(Box::new(move |connection| {
            let result = connection.transaction().and_then(|transaction| {
                let done = work(&transaction)?;
                transaction.commit().map(|()| done)
            });
            let _ = sender.send(result.map_err(|error| error.to_string()));
        }));
        self.jobs.send(job, true);
        receiver
            .await
            .unwrap_or_else(|_| Err("the ledger is closed".to_owned()))
    }

    /// Queues `work`, which runs in a transaction of its own that no call waits for, and hands its result to `done`. Both are
    /// dropped if the writer has ended.
    pub fn queue<T: 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        done: impl FnOnce(rusqlite::Result<T>) + Send + 'static,
    ) {
        let job = Job::Run(Box::new(move |connection| {
            done(connection.transaction().and_then(|transaction| {
                let result = work(&transaction)?;
                transaction.commit().map(|()| result)
            }));
        }));
        self.jobs.send(job, false);
    }

    /// Queues a query that sees exactly the jobs that were sent before it.
    ///
    /// # Errors
    /// The future returns SQLite's message, or an error if those jobs could not be written.
    pub fn read_in_order<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T, String>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let job = Job::RunInOrder(Box::new(move |connection| {
            let _ = sender.send(query(connection).map_err(|error| error.to_string()));
        }));
        self.jobs.send(job, true);
        async move {
            receiver
                .await
                .unwrap_or_else(|_| Err("the ledger cannot be written at the moment".to_owned()))
        }
    }

    /// Waits until all earlier jobs are written, if the database can be written.
    pub async fn flush(&self) {
        // Jobs run in order, so the result of this one does not matter.
        let _ = self.run(|_| Ok(())).await;
    }

    /// Flushes, and moves everything into the main file, so that a copy of this file is complete.
    pub async fn checkpoint(&self) {
        let (sender, receiver) = oneshot::channel();
        let job = Job::Run(Box::new(move |connection| {
            // The first column says whether another reader kept SQLite from it. That is not an error to SQLite.
            let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, bool>(0)
            });
            if !matches!(busy, Ok(false)) {
                tracing::warn!(
                    ?busy,
                    "the ledger's write-ahead log was not merged; a copy of the ledger needs its '-wal' file too"
                );
            }
            let _ = sender.send(());
        }));
        self.jobs.send(job, true);
        let _ = receiver.await;
    }
}

/// Reports the end of the writer thread, also if it panics, and frees everybody who waits for it.
struct WriterEnd(Arc<Queue<Job>>, Health);

impl Drop for WriterEnd {
    fn drop(&mut self) {
        let Self(queue, health) = self;
        health.0.has_ended.store(true, Ordering::Relaxed);
        queue.abandon();
        if std::thread::panicking() {
            tracing::error!(
                "the writer of the ledger has panicked; calls under a budget are rejected until a restart"
            );
        }
    }
}

struct WriterThread {
    connection: Connection,
    /// Keeps a second gateway from opening the file while jobs are left. Closed after the connection.
    _lock: Option<File>,
    health: Health,
    /// Settlements and extensions that could not be written yet, oldest first.
    backlog: VecDeque<Job>,
    housekeeping: Housekeeping,
    /// Whether single records are kept, or only their roll-ups.
    keeps_records: bool,
    /// When the last write failed. None if it succeeded.
    failed_at: Option<Instant>,
}

/// Why a batch was not written.
#[derive(Debug)]
enum WriteError {
    Sqlite(#[expect(dead_code, reason = "for the log")] rusqlite::Error),
    /// The last write failed less than [`RETRY_INTERVAL`] ago.
    BackingOff,
}

impl WriterThread {
    fn run(&mut self, queue: &Queue<Job>) {
        loop {
            let mut timeout = self.housekeeping.due_in();
            if !self.backlog.is_empty() {
                timeout = timeout.min(RETRY_INTERVAL);
            }
            let Some(jobs) = queue.next(MAX_BATCH, timeout) else {
                return self.write(Vec::new());
            };
            let mut batch = Vec::with_capacity(jobs.len());
            for job in jobs {
                match job {
                    Job::Run(work) => {
                        // The work must see the jobs before it.
                        self.write(std::mem::take(&mut batch));
                        self.exclusive(work);
                    }
                    Job::RunInOrder(work) => {
                        self.write(std::mem::take(&mut batch));
                        if self.backlog.is_empty() {
                            self.exclusive(work);
                        }
                    }
                    job => batch.push(job),
                }
            }
            self.write(batch);
            if self.failed_at.is_none() {
                self.housekeeping.run_if_due(&self.connection);
            }
        }
    }

    /// Runs other work. If it panics, its caller gets an error, and the thread goes on.
    fn exclusive(&mut self, work: ExclusiveTask) {
        let connection = &mut self.connection;
        if catch_unwind(AssertUnwindSafe(|| work(connection))).is_err() {
            tracing::error!("a query of the ledger has panicked");
        }
    }

    /// Writes the backlog and `batch` in one transaction. If it fails, waiting callers get an error, and settlements
    /// and extensions stay in the backlog.
    fn write(&mut self, batch: Vec<Job>) {
        if batch.is_empty() && self.backlog.is_empty() {
            return;
        }
        let began = Instant::now();
        // A broken disk must not be tried again for every call.
        let is_backing_off = self
            .failed_at
            .is_some_and(|at| at.elapsed() < RETRY_INTERVAL);
        let result = if is_backing_off {
            Err(WriteError::BackingOff)
        } else {
            self.commit(&batch).map_err(WriteError::Sqlite)
        };
        if !is_backing_off {
            metrics::ledger_append(began.elapsed());
            self.failed_at = result.is_err().then(Instant::now);
        }
        let is_healthy = result.is_ok();
        if self.health.0.is_broken.swap(!is_healthy, Ordering::Relaxed) == is_healthy {
            match &result {
                Ok(()) => tracing::warn!(
                    "the ledger can be written again; calls under a budget are admitted"
                ),
                Err(error) => tracing::error!(
                    ?error,
                    "the ledger cannot be written; calls under a budget are rejected"
                ),
            }
        }
        match result {
            Ok(()) => self.backlog.clear(),
            Err(WriteError::Sqlite(_)) => metrics::ledger_error(),
            Err(WriteError::BackingOff) => {}
        }
        for job in batch {
            match job {
                Job::Hold(_, Some(sender)) => {
                    let _ = sender.send(is_healthy);
                }
                Job::Extend(request_id, amount, sender) => {
                    if let Some(sender) = sender {
                        let _ = sender.send(is_healthy);
                    }
                    if !is_healthy {
                        self.backlog
                            .push_back(Job::Extend(request_id, amount, None));
                    }
                }
                // A failed deletion leaves a hold, which the next start settles as presumed. That errs on the safe
                // side.
                Job::Settle(_) if !is_healthy => self.backlog.push_back(job),
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
                Job::Extend(request_id, amount, _) => {
                    rows::extend_hold(&transaction, request_id, *amount)?
                }
                Job::Settle(record) if self.keeps_records => rows::settle(&transaction, record)?,
                Job::Settle(record) => rows::roll_up_record(&transaction, record)?,
                Job::Run(_) | Job::RunInOrder(_) => {}
            }
        }
        transaction.commit()
    }
}
