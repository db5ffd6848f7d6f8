//! Compares lintel with a minimal proxy, in one run on one machine: `lintel-bench compare`. Measures it over a large ledger:
//! `lintel-bench ledger`. Puts it under attack from all sides: `lintel-bench soak`. Compares the strategies of regions under
//! quotas, in simulated time: `lintel-bench quota`.
//!
//! Absolute times on a shared machine mean little. The ratio of CPU per request is meaningful, because both programs do
//! the same work within the same minute.

mod compare;
mod ledger;
mod load;
mod mock;
mod process;
mod proxy;
#[cfg(feature = "quota")]
mod quota;
mod soak;
mod table;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole comparison and prints one table
    Compare {
        /// The gateway's binary
        #[arg(long)]
        lintel: PathBuf,
        /// Seconds for each measurement
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Measures the gateway over a large ledger, which is created in a folder and deleted afterwards
    Ledger {
        /// The gateway's binary
        #[arg(long)]
        lintel: PathBuf,
        /// The folder of the ledger. Ten million records take about 5 GB
        #[arg(long)]
        folder: PathBuf,
        #[command(flatten)]
        size: ledger::Size,
        /// Seconds for each measurement
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Attacks the gateway from all sides while a well-behaved key calls, and fails if it or the gateway suffers
    Soak(soak::Options),
    /// Compares the strategies of regions under quotas of tokens per minute, in simulated time
    #[cfg(feature = "quota")]
    Quota {
        /// A folder with the documentation, which gets the results
        #[arg(long)]
        docs: Option<PathBuf>,
    },
    /// Runs a mock Bedrock that replies as fast as it can
    Mock { listen: SocketAddr },
    /// Runs a pass-through proxy: hyper's server and hyper-util's pooled client
    Proxy {
        listen: SocketAddr,
        upstream: SocketAddr,
    },
}

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // Each run has a runtime of its own, whose time is simulated.
    #[cfg(feature = "quota")]
    if let Command::Quota { docs } = &args.command {
        return quota::run(docs.as_deref());
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if matches!(args.command, Command::Soak(_)) {
        runtime.on_thread_start(soak::step_back);
    }
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        match args.command {
            Command::Compare { lintel, seconds } => compare::run(&lintel, seconds).await,
            Command::Ledger {
                lintel,
                folder,
                size,
                seconds,
            } => ledger::run(&lintel, &folder, size, seconds).await,
            Command::Soak(options) => soak::run(options).await,
            #[cfg(feature = "quota")]
            Command::Quota { .. } => Ok(()),
            Command::Mock { listen } => mock::run(listen).await,
            Command::Proxy { listen, upstream } => proxy::run(listen, upstream).await,
        }
    })
}
