//! The command line. Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.

mod budget;
mod check;
mod client;
mod demo;
mod explain;
mod healthcheck;
mod keys;
mod ledger;
mod models;
mod serve;
mod simulate;
mod table;
mod usage;

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Source},
    config::{Config, Environment, Flag, Origin, Problem},
    governance::Ledger,
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
    /// Run the gateway over an embedded Bedrock simulator, without an AWS account or setup
    Demo(demo::Args),
    /// Run the gateway against AWS
    Serve(serve::Args),
    /// Run only the Bedrock simulator, for any AWS SDK
    #[command(after_help = crate::simulator::fault::HELP)]
    Simulate(simulate::Args),
    /// Validate a configuration and print it with the origin of each value
    Check(check::Args),
    /// List the models with target, region, price, maximum output and lifecycle
    Models(models::Args),
    /// Show every route that serves a model, the one that is chosen, and what the others would lose
    Explain(explain::Args),
    /// Create, list, show, rotate and revoke virtual keys
    Keys(keys::Args),
    /// Report requests, tokens and spend
    Usage(usage::Args),
    /// Show budgets, and raise a limit temporarily
    Budget(budget::Args),
    /// Correct the ledger
    Ledger(ledger::Args),
    /// Check that a running gateway is healthy (for container health checks)
    Healthcheck(healthcheck::Args),
}

/// The flag that names the configuration file.
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

/// The flags of `serve` and `demo` that override settings of the ports.
#[derive(Debug, clap::Args)]
struct PortFlags {
    /// Address of the data port; overrides server.listen
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address of the admin port (metrics, health, admin API); overrides admin.listen
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Let other machines reach the admin port without TLS; overrides admin.allow_plaintext
    #[arg(long)]
    admin_allow_plaintext: bool,
}

impl PortFlags {
    fn environment(self) -> Environment {
        let flag = |name, setting, value| Flag {
            name,
            setting,
            value,
        };
        let flags = [
            self.listen
                .map(|listen| flag("--listen", ["server", "listen"], listen)),
            self.admin_listen
                .map(|listen| flag("--admin-listen", ["admin", "listen"], listen)),
            self.admin_allow_plaintext.then(|| {
                let setting = ["admin", "allow_plaintext"];
                flag("--admin-allow-plaintext", setting, "true".to_owned())
            }),
        ];
        Environment::of_process(flags.into_iter().flatten().collect())
    }
}

/// The result of a command.
enum Outcome {
    Done,
    Failed(String),
    /// The name of a configuration, and every problem in it.
    Misconfigured(String, Vec<Problem>),
}

/// Runs the command in the arguments of this process.
pub fn run() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Demo(args) => run_async(demo::run(args)),
        Command::Serve(args) => run_async(serve::run(args)),
        Command::Simulate(args) => run_async(simulate::run(args)),
        Command::Check(args) => check::run(&args),
        Command::Models(args) => run_async(models::run(args)),
        Command::Explain(args) => explain::run(&args),
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

/// Prints to standard output. A closed pipe is not a failure.
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

/// Keeps SIGHUP from ending the process, as it does by default: it may come before the gateway is open.
fn ignore_hangup() -> Result<(), String> {
    let handled = signal(SignalKind::hangup());
    handled.map(drop).map_err(|error| error.to_string())
}

/// Sets up logging, metrics and signals, and opens the gateway's ports.
async fn start(config: Config, source: Option<Source>) -> Result<(App, CancellationToken), String> {
    let log = Log::start(config.log_level);
    let telemetry = Telemetry::install(Some(&log)).map_err(|error| error.to_string())?;
    let mut app = App::bind(config, telemetry)
        .await
        .map_err(|error| error.to_string())?;
    let ending = Ending {
        ledger: app.ledger(),
        hurry: app.hurry.clone(),
        at_once: app.at_once.clone(),
        reload: source.is_some().then(|| app.reload.clone()),
        log,
    };
    app.source = source;
    let shutdown = handle_signals(Some(ending)).map_err(|error| error.to_string())?;
    Ok((app, shutdown))
}

/// Runs the gateway to its end.
async fn serve_until(app: App, shutdown: CancellationToken) -> Outcome {
    let at_once = app.at_once.clone();
    app.run(shutdown).await;
    match at_once.is_cancelled() {
        true => Outcome::Failed("a second signal cut off the requests in flight".to_owned()),
        false => Outcome::Done,
    }
}

/// How long a process that ends at once waits for requests to be cut off, settled and logged.
const LAST_SECONDS: Duration = Duration::from_secs(3);
/// How long it waits after that for settled spend to reach the ledger's file.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// What signals do to a gateway.
struct Ending {
    ledger: Ledger,
    hurry: CancellationToken,
    at_once: CancellationToken,
    /// `None` if there is no configuration file.
    reload: Option<Arc<Notify>>,
    /// Dropped with the runtime, so that it has every line.
    log: Log,
}

/// A token that the first SIGTERM or SIGINT cancels. The second one cuts off what is in flight, and ends the process. SIGINT
/// also cancels `hurry`, because it comes from a terminal. SIGHUP reloads.
fn handle_signals(ending: Option<Ending>) -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    // Not tracked, because it must outlive all tracked tasks.
    #[expect(clippy::disallowed_methods, reason = "ends with the process")]
    tokio::spawn(async move {
        let mut signals = 0;
        while signals < 2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {
                    if let Some(ending) = &ending {
                        ending.hurry.cancel();
                    }
                }
                _ = hangup.recv() => {
                    match ending.as_ref().and_then(|ending| ending.reload.as_ref()) {
                        Some(reload) => reload.notify_one(),
                        None => tracing::warn!("SIGHUP is ignored, because there is no configuration file to reload"),
                    }
                    continue;
                }
            }
            signals += 1;
            if signals == 1 {
                tracing::info!("shutting down: requests in flight may finish");
                token.cancel();
            }
        }
        if let Some(ending) = ending {
            tracing::warn!("second signal: requests in flight are cut off");
            ending.at_once.cancel();
            // Usually the gateway ends before that, and this task with it.
            tokio::time::sleep(LAST_SECONDS).await;
            let _ = tokio::time::timeout(LAST_WRITES, ending.ledger.flush()).await;
            drop(ending.log);
        }
        std::process::exit(1);
    });
    Ok(shutdown)
}
