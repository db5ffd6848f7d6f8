use http::Method;
use serde_json::Value;

use super::{ConfigFile, Outcome, client, print, table};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Group by key, team, model, end_user, day or kind; comma-separated
    #[arg(long, default_value = "key,team,model")]
    by: String,
    /// Start: a duration before now, or a time such as 2026-01-31T00:00:00Z, rounded down to a quarter of an hour
    #[arg(long, default_value = "7d", allow_hyphen_values = true)]
    since: String,
    /// End, in the same form, rounded up to a quarter of an hour; without it, now
    #[arg(long)]
    until: Option<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

pub async fn run(args: Args) -> Outcome {
    // Values of these flags contain no other characters that a query string must escape.
    let escaped = |text: &str| {
        text.replace('%', "%25")
            .replace('&', "%26")
            .replace('+', "%2B")
            .replace(' ', "%20")
    };
    let mut path = format!(
        "/admin/usage?by={}&since={}",
        escaped(&args.by),
        escaped(&args.since)
    );
    if let Some(until) = &args.until {
        path.push_str(&format!("&until={}", escaped(until)));
    }
    if args.csv {
        path.push_str("&format=csv");
    }
    let answer = match client::ask(&args.file.config, Method::GET, &path, None).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    if args.csv {
        return print(&answer.text());
    }
    let rows = &answer.json()["rows"];
    if args.json {
        return print(&format!("{rows:#}\n"));
    }
    let names: Vec<&str> = args
        .by
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    const COUNTS: [&str; 6] = [
        "requests",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "output_tokens",
        "cost_usd",
    ];
    let cell = |value: &Value| match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let lines = rows.as_array().into_iter().flatten();
    let lines: Vec<Vec<String>> = lines
        .map(|row| {
            names
                .iter()
                .chain(&COUNTS)
                .map(|name| cell(&row[*name]))
                .collect()
        })
        .collect();
    let heads: Vec<String> = names
        .iter()
        .chain(&COUNTS)
        .map(|name| name.replace('_', " ").to_uppercase())
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    print(&table::render(&heads, &lines))
}
