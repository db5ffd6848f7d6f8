use clap::Subcommand;
use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{ConfigFile, Outcome, client, print, table};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a key; its secret is printed only once
    Create(Box<Create>),
    /// List all virtual keys
    List(KeysOptions),
    /// Show one key with the status of its budgets
    Show(KeyReference),
    /// Create a new secret for a key; the old one stays valid for a while
    Rotate(Rotate),
    /// Print the AWS key pair of a key, for SDKs that sign their requests
    Aws(KeyReference),
    /// Revoke a key: its new requests are rejected
    Revoke(KeyReference),
}

#[derive(Debug, clap::Args)]
struct KeysOptions {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct KeyReference {
    /// The key's public id (`aws` also takes the name of a key of the configuration)
    id: String,
    #[command(flatten)]
    options: KeysOptions,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The key's public id
    id: String,
    /// How long the old secret stays valid
    #[arg(long, default_value = "24h")]
    overlap: String,
    #[command(flatten)]
    options: KeysOptions,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// What the key is for
    #[arg(long)]
    name: String,
    /// A configured team
    #[arg(long)]
    team: Option<String>,
    /// Globs over model names and Bedrock ids, comma-separated
    #[arg(long, value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// Lets globs such as `*` include raw Bedrock ids
    #[arg(long)]
    raw: bool,
    /// Globs over configured Knowledge Bases, comma-separated; without it, the key can use none
    #[arg(long, value_delimiter = ',', value_name = "GLOBS")]
    knowledge_bases: Option<Vec<String>>,
    /// US dollars per hour, day, week or month, such as 10/day; repeat it for several periods
    #[arg(long, value_name = "USD/PERIOD", allow_hyphen_values = true)]
    budget: Vec<String>,
    /// A rate limit on requests
    #[arg(long)]
    requests_per_minute: Option<u32>,
    /// A rate limit on tokens
    #[arg(long)]
    tokens_per_minute: Option<u32>,
    /// The number of requests that can run at the same time
    #[arg(long)]
    in_flight: Option<u32>,
    /// A time such as 2027-01-01T00:00:00Z, or a duration such as 90d
    #[arg(long)]
    expires: Option<String>,
    /// Addresses and ranges from which the key is accepted, comma-separated
    #[arg(long, value_delimiter = ',')]
    allow_ips: Option<Vec<String>>,
    /// Your own data, such as owner=zoe; can be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    metadata: Vec<String>,
    /// Other settings of [keys.NAME], as a JSON object
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    #[command(flatten)]
    options: KeysOptions,
}

pub async fn run(args: Args) -> Outcome {
    match done(args.command).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn done(command: Command) -> Result<Outcome, Outcome> {
    match command {
        Command::Create(create) => {
            let body = body(&create)?;
            let made = client::ask(
                &create.options.file.config,
                Method::POST,
                "/admin/keys",
                Some(body.to_string()),
            )
            .await?;
            Ok(secret(&made.json(), create.options.json))
        }
        Command::List(options) => {
            let answer = client::ask(&options.file.config, Method::GET, "/admin/keys", None)
                .await?
                .json();
            if options.json {
                return Ok(print(&format!("{:#}\n", answer["keys"])));
            }
            let rows = answer["keys"]
                .as_array()
                .into_iter()
                .flatten()
                .map(row)
                .collect::<Vec<_>>();
            Ok(print(&table::render(
                &["ID", "NAME", "STATUS", "TEAM", "CREATED", "LAST USED"],
                &rows,
            )))
        }
        Command::Show(one) => {
            let answer = client::ask(
                &one.options.file.config,
                Method::GET,
                &path_of(&one.id)?,
                None,
            )
            .await?
            .json();
            Ok(print(&format!("{answer:#}\n")))
        }
        Command::Rotate(rotate) => {
            let path = format!("{}/rotate", path_of(&rotate.id)?);
            let body = json!({"overlap": rotate.overlap}).to_string();
            let made =
                client::ask(&rotate.options.file.config, Method::POST, &path, Some(body)).await?;
            Ok(secret(&made.json(), rotate.options.json))
        }
        Command::Aws(one) => {
            let path = format!("{}/aws", path_of(&one.id)?);
            let file = &one.options.file.config;
            let pair = client::ask(file, Method::POST, &path, None).await?.json();
            let lines = format!(
                "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
                text(&pair["access_key_id"]),
                text(&pair["secret_access_key"])
            );
            Ok(print(&match one.options.json {
                true => format!("{pair:#}\n"),
                false => lines,
            }))
        }
        Command::Revoke(one) => {
            let answer = client::ask(
                &one.options.file.config,
                Method::DELETE,
                &path_of(&one.id)?,
                None,
            )
            .await?
            .json();
            match one.options.json {
                true => Ok(print(&format!("{answer:#}\n"))),
                false if answer["stored"] == false => Ok(print(&format!(
                    "{}: {}\n",
                    one.id,
                    text(&answer["message"])
                ))),
                false => Ok(print(&format!("{} is revoked\n", one.id))),
            }
        }
    }
}

/// Prints the secret alone to standard output, so that it can be piped, and the rest to standard error.
fn secret(made: &Value, as_json: bool) -> Outcome {
    if as_json {
        return print(&format!("{made:#}\n"));
    }
    let key = &made["key"];
    eprintln!(
        "Created a secret for key {} ({}). It is not shown again:",
        text(&key["id"]),
        text(&key["name"])
    );
    print(&format!("{}\n", text(&made["secret"])))
}

fn row(key: &Value) -> Vec<String> {
    let time = |value: &Value| {
        let time = value
            .as_i64()
            .and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map_or_else(|| "-".to_owned(), |time| time.to_string())
    };
    let team = key["settings"]["team"].as_str().unwrap_or("-").to_owned();
    vec![
        text(&key["id"]),
        text(&key["name"]),
        text(&key["status"]),
        team,
        time(&key["created_at"]),
        time(&key["last_used_at"]),
    ]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn body(create: &Create) -> Result<Value, Outcome> {
    let wrong = |message: String| Outcome::Failed(message);
    let mut body = match &create.settings {
        Some(settings) => serde_json::from_str::<Map<String, Value>>(settings)
            .map_err(|error| wrong(format!("--settings is not a JSON object: {error}")))?,
        None => Map::new(),
    };
    let mut twice = None;
    let mut set = |name: &str, value: Option<Value>| {
        if value.is_some_and(|value| body.insert(name.to_owned(), value).is_some()) {
            twice = Some(name.to_owned());
        }
    };
    set("name", Some(create.name.clone().into()));
    set("team", create.team.clone().map(Value::from));
    set("models", create.models.clone().map(Value::from));
    set("raw", create.raw.then(|| true.into()));
    set(
        "knowledge_bases",
        create.knowledge_bases.clone().map(Value::from),
    );
    set("allow_ips", create.allow_ips.clone().map(Value::from));
    let expires = create
        .expires
        .as_deref()
        .map(expiry)
        .transpose()
        .map_err(wrong)?;
    set("expires", expires.map(Value::from));
    let budgets: Vec<Value> = create
        .budget
        .iter()
        .map(|text| budget(text))
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    set("budget", (!budgets.is_empty()).then(|| budgets.into()));
    let limits = [
        ("requests_per_minute", create.requests_per_minute),
        ("tokens_per_minute", create.tokens_per_minute),
        ("in_flight", create.in_flight),
    ];
    let limits: Map<String, Value> = limits
        .into_iter()
        .filter_map(|(name, limit)| Some((name.to_owned(), limit?.into())))
        .collect();
    set("limits", (!limits.is_empty()).then(|| limits.into()));
    let metadata = create.metadata.iter().map(|pair| {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong(format!("--metadata '{pair}' is not NAME=VALUE")))?;
        Ok((name.to_owned(), Value::from(value)))
    });
    let metadata: Map<String, Value> = metadata.collect::<Result<_, Outcome>>()?;
    set("metadata", (!metadata.is_empty()).then(|| metadata.into()));
    match twice {
        Some(name) => Err(wrong(format!(
            "'{name}' is set twice: in --settings and by its own option"
        ))),
        None => Ok(Value::Object(body)),
    }
}

/// The path of a key in the admin API. Static keys may also have `-`, `_` and `.` in their names.
fn path_of(id: &str) -> Result<String, Outcome> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !id.trim_matches('.').is_empty() && id.bytes().all(is_plain) {
        true => Ok(format!("/admin/keys/{id}")),
        false => Err(Outcome::Failed(format!(
            "'{}' is not the id of a key; `lintel keys list` shows the ids",
            id.escape_debug()
        ))),
    }
}

/// Reads `10/day`.
fn budget(text: &str) -> Result<Value, String> {
    let wrong =
        || format!("--budget '{text}' is not an amount of US dollars per period, such as 10/day");
    let (usd, per) = text.split_once('/').ok_or_else(wrong)?;
    let usd: serde_json::Number = serde_json::from_str(usd).map_err(|_| wrong())?;
    Ok(json!({"usd": usd, "per": per}))
}

/// A time as it is, or a duration from now as a time.
fn expiry(text: &str) -> Result<String, String> {
    if text.parse::<Timestamp>().is_ok() {
        return Ok(text.to_owned());
    }
    let wrong = |_| {
        format!(
            "--expires '{text}' is neither a time such as 2027-01-01T00:00:00Z nor a duration such as 90d"
        )
    };
    let duration = humantime::parse_duration(text).map_err(wrong)?;
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let at = Timestamp::from_second(Timestamp::now().as_second().saturating_add(seconds));
    at.map(|at| at.to_string())
        .map_err(|_| format!("--expires '{text}' is too far in the future"))
}
