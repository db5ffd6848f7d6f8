use std::path::PathBuf;

use clap::Subcommand;
use http::Method;

use super::{ConfigFile, Outcome, client, print};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Correct presumed and estimated spend from Bedrock's model invocation log
    Reconcile(Reconcile),
}

#[derive(Debug, clap::Args)]
struct Reconcile {
    /// The log, with one JSON object per line, as Bedrock writes it
    log: PathBuf,
    /// The log has every invocation of this time: calls without one cost nothing. Dates are in UTC
    #[arg(long, value_name = "FROM..TO")]
    complete: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Outcome {
    let Command::Reconcile(Reconcile {
        log,
        complete,
        file,
        json,
    }) = args.command;
    let mut path = "/admin/ledger/reconcile".to_owned();
    if let Some(period) = complete {
        // A time zone's `+` would be read as a space.
        path = format!("{path}?complete={}", period.replace('+', "%2B"));
    }
    let text = match std::fs::read_to_string(&log) {
        Ok(text) => text,
        Err(error) => return Outcome::Failed(format!("cannot read {}: {error}", log.display())),
    };
    let answer = match client::ask(&file.config, Method::POST, &path, Some(text)).await {
        Ok(answer) => answer.json(),
        Err(outcome) => return outcome,
    };
    if json {
        return print(&format!("{answer:#}\n"));
    }
    if answer["matched_lines"] == 0 && answer["unreadable_lines"] != 0 {
        return Outcome::Failed(format!(
            "{} is not an invocation log: none of its lines could be parsed",
            log.display()
        ));
    }
    let text = |name: &str| {
        answer[name]
            .as_str()
            .map_or_else(|| answer[name].to_string(), str::to_owned)
    };
    print(&format!(
        "{} lines matched calls of this gateway, {} could not be parsed; {} records were corrected by ${}, \
         {} were left unchanged because the log does not report all of their cost, {} are on routes that the log does not show\n",
        text("matched_lines"),
        text("unreadable_lines"),
        text("corrected_records"),
        text("delta_usd"),
        text("left_records"),
        text("not_comparable_records")
    ))
}
