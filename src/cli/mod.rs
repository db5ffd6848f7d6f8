//! The command line. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod budget;
mod check;
mod client;
mod demo;
mod healthcheck;
mod keys;
mod ledger;
mod models;
mod serve;
mod simulate;
mod table;
mod usage;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    config::{Config, Origin, Problem},
    ledger::Ledger,
    telemetry::{Log, Telemetry},
};

/// An OpenAI-compatible gateway in front of Amazon Bedrock.
#[derive(Debug, Parser)]
#[command(name = "lintel", version, propagate_version = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The gateway over an embedded Bedrock simulator: no AWS account, no set-up
    Demo(demo::Args),
    /// The gateway against AWS
    Serve(serve::Args),
    /// The Bedrock simulator alone, for any AWS SDK
    #[command(after_help = crate::simulator::fault::HELP)]
    Simulate(simulate::Args),
    /// Validates a configuration and prints it with the origin of each value
    Check(check::Args),
    /// Every configured model with its target, price, limits and lifecycle
    Models(models::Args),
    /// Virtual keys: made, listed, rotated, revoked
    Keys(keys::Args),
    /// What was spent
    Usage(usage::Args),
    /// How budgets stand, and a temporary raise
    Budget(budget::Args),
    /// Corrections of the ledger
    Ledger(ledger::Args),
    /// Asks a running gateway whether it lives (for container health checks)
    Healthcheck(healthcheck::Args),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        env = "LINTEL_CONFIG",
        default_value = "config.toml"
    )]
    config: PathBuf,
}

/// How a command ends.
enum Outcome {
    Done,
    Failed(String),
    /// Every problem of a configuration.
    Misconfigured(String, Vec<Problem>),
}

/// The process.
pub fn run() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Demo(args) => run_async(demo::run(args)),
        Command::Serve(args) => run_async(serve::run(args)),
        Command::Simulate(args) => run_async(simulate::run(args)),
        Command::Check(args) => check::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Keys(args) => run_async(keys::run(args)),
        Command::Usage(args) => run_async(usage::run(args)),
        Command::Budget(args) => run_async(budget::run(args)),
        Command::Ledger(args) => run_async(ledger::run(args)),
        Command::Healthcheck(args) => healthcheck::run(&args),
    };
    match outcome {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::Failed(message) => {
            eprintln!("lintel: {message}");
            ExitCode::FAILURE
        }
        Outcome::Misconfigured(file, problems) => {
            for problem in &problems {
                match problem.origin {
                    Some(Origin::Environment(_) | Origin::Flag(_)) => eprintln!("{problem}"),
                    _ => eprintln!("{file}: {problem}"),
                }
            }
            eprintln!(
                "lintel: {} in the configuration",
                if problems.len() == 1 {
                    "1 problem".to_owned()
                } else {
                    format!("{} problems", problems.len())
                }
            );
            ExitCode::from(2)
        }
    }
}

/// To standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> Outcome {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Outcome::Failed(format!("cannot print: {error}"))
        }
        _ => Outcome::Done,
    }
}

fn run_async(command: impl Future<Output = Outcome>) -> Outcome {
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Outcome::Failed(format!("cannot start: {error}")),
    }
}

/// Logging, metrics, signals, and a gateway whose ports are open.
async fn start(config: Config) -> Result<(App, CancellationToken, Log), String> {
    let log = Log::start();
    let telemetry = Telemetry::install(Some(&log)).map_err(|error| error.to_string())?;
    let app = App::bind(config, telemetry)
        .await
        .map_err(|error| error.to_string())?;
    let shutdown = shutdown_on_signal(Some(app.ledger())).map_err(|error| error.to_string())?;
    Ok((app, shutdown, log))
}

/// For what is settled already to reach the ledger's file.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Set by the first SIGTERM or SIGINT; the second one ends the process at once, but for what the ledger has to write.
fn shutdown_on_signal(ledger: Option<Ledger>) -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Its default would cut every stream; there is no reload yet that it could ask for.
    let mut hangup = signal(SignalKind::hangup())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    // Not tracked: it must outlive everything that is waited for.
    #[expect(clippy::disallowed_methods, reason = "ends with the process")]
    tokio::spawn(async move {
        let mut signals = 0;
        while signals < 2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    tracing::warn!("SIGHUP is ignored: this version does not reload; restart to change the configuration");
                    continue;
                }
            }
            signals += 1;
            if signals == 1 {
                tracing::info!("shutting down: running requests may end");
                token.cancel();
            }
        }
        tracing::warn!("second signal: ending at once");
        if let Some(ledger) = ledger {
            let _ = tokio::time::timeout(LAST_WRITES, ledger.flush()).await;
        }
        std::process::exit(1);
    });
    Ok(shutdown)
}
