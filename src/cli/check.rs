use http::Method;
use serde_json::Value;

use super::{ConfigFile, Outcome, client, print, run_async};
use crate::config::{self, Environment};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print what a reload would change in the gateway that runs with this configuration
    #[arg(long)]
    diff: bool,
}

pub fn run(args: &Args) -> Outcome {
    match config::load(
        &args.file.config,
        &Environment::of_process(Vec::new()),
        None,
    ) {
        Ok((config, resolved)) => {
            for warning in config::warnings(&config) {
                eprintln!("warning: {warning}");
            }
            if args.diff {
                return run_async(diff(args));
            }
            let text = if args.json {
                let rows = resolved.iter().map(
                    |row| serde_json::json!({"path": row.path, "value": row.value, "origin": row.origin.to_string()}),
                );
                format!("{}\n", serde_json::Value::from_iter(rows))
            } else {
                resolved
                    .iter()
                    .map(|row| format!("{} = {}  # {}\n", row.path, row.value, row.origin))
                    .collect()
            };
            eprintln!("{}: no problem found", args.file.config.display());
            print(&text)
        }
        Err(problems) => Outcome::Misconfigured(args.file.config.display().to_string(), problems),
    }
}

/// Asks the running gateway, because only it knows what is in force.
async fn diff(args: &Args) -> Outcome {
    let path = "/admin/reload?dry_run=true";
    let answer = match client::ask(&args.file.config, Method::POST, path, None).await {
        Ok(answer) => answer.json(),
        Err(outcome) => return outcome,
    };
    let own = std::path::absolute(&args.file.config).unwrap_or_else(|_| args.file.config.clone());
    let file = answer["file"].as_str().unwrap_or_default();
    if own.display().to_string() != file {
        return Outcome::Failed(format!(
            "the gateway runs with {file}, so a reload reads that file; nothing was compared with {}",
            own.display()
        ));
    }
    if args.json {
        return print(&format!("{answer:#}\n"));
    }
    let lines = |name: &str, note: &str| {
        let lines = answer[name].as_array().cloned().unwrap_or_default();
        let lines = lines.iter().filter_map(Value::as_str);
        lines
            .map(|line| format!("{line}{note}\n"))
            .collect::<String>()
    };
    let text = lines("changed", "") + &lines("needs_restart", "  # needs a restart");
    match text.is_empty() {
        true => print("nothing would change\n"),
        false => print(&text),
    }
}
