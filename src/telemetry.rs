//! Logs on standard output, one JSON object per line, and metrics for Prometheus.

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::metrics;

/// Histograms keep samples until they are drained. This bounds their memory if nothing scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics recorder of this process. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    handle: PrometheusHandle,
    process: Collector,
    lost_lines: Option<ErrorCounter>,
    filter: Option<SetFilter>,
}

impl Telemetry {
    /// Installs the recorder of this process, which also counts the lines that `log` drops.
    ///
    /// # Errors
    /// If a recorder is already installed.
    pub fn install(log: Option<&Log>) -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in metrics::BUCKETS {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
        }
        let handle = builder.install_recorder()?;
        metrics::describe();
        let process = Collector::default();
        process.describe();
        Ok(Self {
            handle,
            process,
            lost_lines: log.map(|log| log.lost.clone()),
            filter: log.and_then(|log| log.filter.clone()),
        })
    }

    /// Sets the level of the log from now on, unless `RUST_LOG` does.
    pub fn set_log_level(&self, level: LevelFilter) {
        if let Some(set) = &self.filter {
            set(filter(level));
        }
    }

    /// The metrics in Prometheus's text format.
    pub fn render(&self) -> String {
        self.process.collect();
        if let Some(lost) = &self.lost_lines {
            metrics::log_lines_lost(lost.dropped_lines());
        }
        self.handle.render()
    }

    /// Drains histograms regularly until `shutdown`.
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

/// The number of lines that are buffered for the reader of the log. Further lines are dropped and counted, because a
/// stalled reader must not stall every stream.
const LOG_LINES: usize = 8192;

type SetFilter = Arc<dyn Fn(EnvFilter) + Send + Sync>;

/// The logger. Dropping it flushes the buffered lines.
pub struct Log {
    _worker: WorkerGuard,
    lost: ErrorCounter,
    /// `None` if `RUST_LOG` is set.
    filter: Option<SetFilter>,
}

/// Libraries tell more than operators want to read, and may quote what they send.
fn filter(level: LevelFilter) -> EnvFilter {
    EnvFilter::new(format!("warn,lintel={level}"))
}

impl Log {
    /// Starts logging at `level`. `RUST_LOG` overrides it.
    pub fn start(level: LevelFilter) -> Self {
        let (writer, worker) = NonBlockingBuilder::default()
            .buffered_lines_limit(LOG_LINES)
            .finish(std::io::stdout());
        let lost = writer.error_counter();
        let from_environment = EnvFilter::try_from_default_env().ok();
        let is_fixed = from_environment.is_some();
        let builder = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_env_filter(from_environment.unwrap_or_else(|| filter(level)))
            .with_writer(writer)
            .with_filter_reloading();
        let handle = builder.reload_handle();
        builder.init();
        let set: SetFilter = Arc::new(move |filter| {
            // Fails only without a subscriber, and then nothing is logged.
            let _ = handle.reload(filter);
        });
        // The message of a panic may contain client data, so only its location is logged.
        std::panic::set_hook(Box::new(|panic| {
            let location = panic.location().map(ToString::to_string);
            tracing::error!(location, "a task panicked");
        }));
        Self {
            _worker: worker,
            lost,
            filter: (!is_fixed).then_some(set),
        }
    }
}
