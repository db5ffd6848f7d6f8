//! Logs on standard output, one JSON object a line; metrics for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing_subscriber::EnvFilter;

use crate::metrics;

/// Histograms hold samples until they are drained; without a scraper, this bounds them.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    handle: PrometheusHandle,
    process: Collector,
}

impl Telemetry {
    /// Installs the process's recorder.
    ///
    /// # Errors
    /// If there is one already.
    pub fn install() -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in metrics::BUCKETS {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
        }
        let handle = builder.install_recorder()?;
        metrics::describe();
        let process = Collector::default();
        process.describe();
        Ok(Self { handle, process })
    }

    /// The exposition.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Keeps the recorder small until `shutdown`.
    pub fn keep_up(&self, tasks: &TaskTracker, shutdown: CancellationToken) {
        let handle = self.handle.clone();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    _ = ticks.tick() => handle.run_upkeep(),
                }
            }
        });
    }
}

/// Starts logging; `RUST_LOG` overrides the filter.
pub fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,lintel=info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
    // The text of a panic may hold anything; the place is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a task panicked");
    }));
}
