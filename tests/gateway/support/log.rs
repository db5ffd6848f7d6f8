//! The access log of a test.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Collects what this thread logs. A test on one thread runs its gateway on it, too.
pub struct Log {
    written: Written,
    _subscriber: DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    pub fn start() -> Self {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::INFO)
            .with_writer(written.clone())
            .finish();
        Self {
            written,
            _subscriber: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The lines about requests to `route`, oldest first.
    pub fn requests(&self, route: &str) -> Vec<Value> {
        let written = self.written.0.lock().unwrap();
        let text = std::str::from_utf8(&written).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["target"] == "lintel::access" && line["route"] == route)
            .collect()
    }
}
