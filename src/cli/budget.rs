use clap::Subcommand;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ConfigFile, Outcome, client, print, table};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every budget: limit, settled and reserved spend, reset time
    Show(Show),
    /// Raise a limit temporarily; the audit log records who did it and why
    Override(Override),
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Override {
    /// The budget, such as key:ci/day
    budget: String,
    /// By how many US dollars
    #[arg(long)]
    usd: String,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
    time: String,
    /// The reason, for the audit log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> Outcome {
    let (answer, as_json) = match args.command {
        Command::Show(show) => (
            client::ask(&show.file.config, Method::GET, "/admin/budgets", None).await,
            show.json,
        ),
        Command::Override(raise) => {
            let Override {
                budget,
                usd,
                time,
                reason,
                file,
                json,
            } = raise;
            let body =
                json!({"budget": budget, "usd": usd, "for": time, "reason": reason}).to_string();
            (
                client::ask(
                    &file.config,
                    Method::POST,
                    "/admin/budgets/override",
                    Some(body),
                )
                .await,
                json,
            )
        }
    };
    let answer = match answer {
        Ok(answer) => answer.json(),
        Err(outcome) => return outcome,
    };
    if as_json {
        return print(&format!("{answer:#}\n"));
    }
    let budgets = answer["budgets"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![answer["budget"].clone()]);
    let rows: Vec<Vec<String>> = budgets.iter().map(row).collect();
    print(&table::render(
        &[
            "BUDGET",
            "LIMIT USD",
            "SETTLED",
            "RESERVED",
            "REMAINING",
            "RESETS AT",
        ],
        &rows,
    ))
}

fn row(budget: &Value) -> Vec<String> {
    let text = |name: &str| budget[name].as_str().unwrap_or_default().to_owned();
    let reset = budget["resets_at"]
        .as_i64()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let members = [
        "id",
        "limit_usd",
        "settled_usd",
        "reserved_usd",
        "remaining_usd",
    ]
    .map(text);
    members
        .into_iter()
        .chain(reset.map(|reset| reset.to_string()))
        .collect()
}
