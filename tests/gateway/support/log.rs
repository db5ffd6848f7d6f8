//! The access log of a test.

use std::{
    cell::{Cell, RefCell},
    io,
    sync::Once,
};

use serde_json::Value;
use tracing::Level;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, dynamic_filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

thread_local! {
    static WRITTEN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    static LEVEL: Cell<Level> = const { Cell::new(Level::INFO) };
}

/// Collects what this thread logs. A test on one thread runs its gateway on it, too.
pub struct Log(());

/// Writes to the log of this thread, if it has one.
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| {
            if let Some(written) = written {
                written.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub fn start() -> Self {
        // One subscriber for the process: one for each thread would miss events that another thread
        // was the first to raise.
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let has_log = dynamic_filter_fn(|event, _| {
                let is_ours = event.target().starts_with("lintel");
                *event.level() <= LEVEL.get() && is_ours && WRITTEN.with_borrow(Option::is_some)
            });
            let json = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(|| Writer)
                .with_filter(has_log.with_max_level_hint(LevelFilter::DEBUG));
            tracing_subscriber::registry().with(json).init();
            tracing::callsite::rebuild_interest_cache();
        });
        WRITTEN.set(Some(Vec::new()));
        LEVEL.set(Level::INFO);
        Self(())
    }

    /// As [`Log::start`], with the lines that `level = "debug"` adds.
    pub fn start_at_debug() -> Self {
        let log = Self::start();
        LEVEL.set(Level::DEBUG);
        log
    }

    /// All lines, oldest first.
    pub fn lines(&self) -> Vec<Value> {
        let text = WRITTEN.with_borrow(|written| written.clone().unwrap_or_default());
        let lines = std::str::from_utf8(&text).unwrap().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The lines about requests to `route`, oldest first.
    pub fn requests(&self, route: &str) -> Vec<Value> {
        self.lines()
            .into_iter()
            .filter(|line| line["target"] == "lintel::access" && line["route"] == route)
            .collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        WRITTEN.set(None);
    }
}
