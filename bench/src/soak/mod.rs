//! A storm against one gateway while a well-behaved key calls at a steady rate: `lintel-bench soak`. Fails if a call of that key
//! fails, if anything of the storm is left in the gateway afterwards, or if its memory keeps growing.

mod good;
mod observe;
mod report;
mod setup;
mod storm;
mod wire;

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use self::{
    good::Calls,
    observe::Sample,
    report::Report,
    setup::{Scale, Setup},
    storm::{Counts, Part},
};
use crate::{BoxError, process};

/// The longest time until nothing is left. Idle connections to Bedrock stay open for 50 seconds.
const SETTLE: Duration = Duration::from_secs(90);
/// How often the gateway's memory is read during the storm.
const SAMPLES: u32 = 30;

/// Gives the calling thread only the CPU time that nobody else wants. The clients of the storm, and the Bedrock that answers
/// them, would be other machines: what they compute must not look like what they do to the gateway.
pub fn step_back() {
    // If it fails, the storm is only heavier.
    let _ = rustix::process::setpriority_process(None, 19);
}

/// CPU time of all programs.
#[derive(Clone, Copy)]
struct Cpu {
    lintel: Duration,
    simulator: Duration,
    own: Duration,
}

/// What a soak does, and what it demands.
#[derive(clap::Args)]
pub struct Options {
    /// The gateway's binary
    #[arg(long)]
    lintel: PathBuf,
    /// Seconds of the storm
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Only these parts of the storm
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// The longest p99 of the well-behaved key in the storm, as a multiple of the one before. Generous, because the load
    /// generator and the simulator take their time from the gateway
    #[arg(long, default_value_t = 20.0)]
    max_ratio: f64,
}

pub async fn run(options: Options) -> Result<(), BoxError> {
    let scale = Scale::allowed()?;
    let folder = std::env::temp_dir().join(format!("lintel-soak-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let setup = Setup::start(&options.lintel, &folder, scale)?;
    let measured = measure(&setup, scale, &options).await;
    drop(setup);
    fs::remove_dir_all(&folder)?;
    let report = measured?;
    report.print(options.max_ratio);
    match report.faults(options.max_ratio) {
        faults if faults.is_empty() => Ok(()),
        faults => Err(faults.join("; ").into()),
    }
}

async fn measure(setup: &Setup, scale: Scale, options: &Options) -> Result<Report, BoxError> {
    let duration = Duration::from_secs(options.seconds);
    let calm = (duration / 5).max(Duration::from_secs(15));
    // Warms up connections, clients and caches.
    good::call(setup.data, Duration::from_secs(3)).await?;
    let before = good::call(setup.data, calm).await?;
    let start = settled(setup, usize::MAX).await?;
    let counts = Arc::new(Counts::default());
    let cpu = cpu(setup)?;
    let tasks = storm::start(setup.data, scale, &options.only, &counts);
    let (during, samples) =
        tokio::try_join!(good::call(setup.data, duration), watch(setup, duration))?;
    let cpu = self::cpu(setup)?.since(cpu);
    drop(tasks);
    // The kernel and the gateway learn of ten thousand closed connections.
    sleep(Duration::from_secs(5)).await;
    let after = good::call(setup.data, calm).await?;
    let end = settled(setup, start.descriptors).await?;
    let refused = observe::refused(setup, scale).await?;
    Ok(Report {
        scale,
        duration,
        calls: [before, during, after],
        samples,
        start,
        end,
        refused,
        counts,
        cpu,
    })
}

/// Waits until nothing is left of any call, for a limited time. Returns the last sample.
async fn settled(setup: &Setup, descriptors: usize) -> Result<Sample, BoxError> {
    let began = Instant::now();
    loop {
        // `/metrics` is rendered at most once a second.
        sleep(Duration::from_secs(2)).await;
        let sample = Sample::take(setup, began).await?;
        if sample.is_quiet(descriptors) || began.elapsed() > SETTLE {
            return Ok(sample);
        }
    }
}

async fn watch(setup: &Setup, duration: Duration) -> Result<Vec<Sample>, BoxError> {
    let began = Instant::now();
    let mut ticks = interval(duration / SAMPLES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut samples = Vec::new();
    while began.elapsed() < duration {
        ticks.tick().await;
        samples.push(Sample::take(setup, began).await?);
    }
    Ok(samples)
}

fn cpu(setup: &Setup) -> Result<Cpu, BoxError> {
    Ok(Cpu {
        lintel: setup.lintel.cpu()?,
        simulator: setup.calm.cpu()? + setup.stormy.cpu()?,
        own: process::own_cpu()?,
    })
}

impl Cpu {
    fn since(self, before: Self) -> Self {
        Self {
            lintel: self.lintel - before.lintel,
            simulator: self.simulator - before.simulator,
            own: self.own - before.own,
        }
    }
}
