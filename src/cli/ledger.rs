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
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Outcome {
    let Command::Reconcile(Reconcile { log, file, json }) = args.command;
    let text = match std::fs::read_to_string(&log) {
        Ok(text) => text,
        Err(error) => return Outcome::Failed(format!("cannot read {}: {error}", log.display())),
    };
    let answer = match client::ask(
        &file.config,
        Method::POST,
        "/admin/ledger/reconcile",
        Some(text),
    )
    .await
    {
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
        "{} lines matched calls of this gateway, {} could not be parsed; {} records were corrected by ${}\n",
        text("matched_lines"),
        text("unreadable_lines"),
        text("corrected_records"),
        text("delta_usd")
    ))
}
