use super::{ConfigFile, Outcome, print};
use crate::config::{self, Environment};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
