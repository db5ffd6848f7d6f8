//! The configuration, ready to use. `tree` is what was written, `reader` reads it by type and keeps every problem,
//! `sections`, `models` and `keys` know what may stand where.

mod governance;
mod keys;
mod knowledge_bases;
mod models;
mod options;
mod reader;
mod sections;
mod tree;
mod warnings;

use std::{fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::http::HeaderValue;

pub use governance::{Gateway, Teams};
pub use keys::{KeySettings, virtual_key};
pub use reader::Resolved;
pub use tree::Origin;
pub use warnings::warnings;

use crate::{
    bedrock::AwsSettings,
    call::{self, Budget, Secret},
    dispatch::Models,
    edge::Key,
    knowledge::KnowledgeBases,
    ledger,
    remote_media::RemoteMedia,
    webhook::Webhook,
};
use reader::{Report, Section};
use tree::{Table, Value};

/// The documented example, which is also what `lintel demo` runs with.
pub const EXAMPLE: &str = include_str!("../../config.toml");

/// Everything that `app` needs, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub admin: Admin,
    pub aws: Aws,
    pub models: Models,
    pub knowledge_bases: KnowledgeBases,
    pub keys: Vec<Key>,
    pub teams: Teams,
    /// The whole gateway's budgets.
    pub budget: Gateway,
    pub store: ledger::Settings,
    /// None: alerts are only in the log.
    pub alerts: Option<Webhook>,
    /// Calls under a budget may go to models without a price.
    pub allow_unpriced: bool,
    /// Calls whose client has left are read to their end.
    pub drain: bool,
    /// None: media are not fetched.
    pub remote_media: Option<RemoteMedia>,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    /// Bytes.
    pub max_body: usize,
    pub header_timeout: Duration,
    pub drain_timeout: Duration,
    pub max_in_flight: usize,
    pub max_connections: usize,
    pub keep_alive: Duration,
    /// From one address.
    pub failed_logins_per_minute: u32,
    /// Of one credential.
    pub max_requests_per_second: u32,
    pub cors_origins: Vec<HeaderValue>,
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Without it the admin API answers 403.
    pub token: Option<Secret>,
}

#[derive(Clone, Debug)]
pub struct Aws {
    pub region: String,
    /// A Bedrock API key is there, which goes before other credentials, but for Knowledge Bases.
    pub has_api_key: bool,
    pub settings: AwsSettings,
}

/// Something in the configuration that must be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Such as `server.listen`; empty where the text could not be parsed at all.
    pub path: String,
    pub origin: Option<Origin>,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// What a configuration is read from, besides its file.
pub struct Surroundings {
    /// All environment variables.
    pub environment: Vec<(String, String)>,
    /// `server.listen` from a flag.
    pub listen: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process(listen: Option<String>) -> Self {
        // A variable that is not Unicode cannot be meant for us.
        let environment = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self {
            environment: environment.collect(),
            listen,
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }
}

/// What `demo` brings instead of `[aws]` and `[keys]`.
pub struct Demo {
    /// URL of the embedded simulator.
    pub endpoint_url: String,
    pub credentials: (String, Secret),
    pub key: Key,
}

/// Reads the file at `path`.
///
/// # Errors
/// Every problem there is.
pub fn load(
    path: &Path,
    surroundings: &Surroundings,
    demo: Option<Demo>,
) -> Result<(Config, Vec<Resolved>), Vec<Problem>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, surroundings, demo),
        Err(error) => Err(vec![Problem {
            path: String::new(),
            origin: None,
            message: format!("cannot read {}: {error}", path.display()),
        }]),
    }
}

/// Reads `text` as a configuration file.
///
/// # Errors
/// Every problem there is.
pub fn parse(
    text: &str,
    surroundings: &Surroundings,
    demo: Option<Demo>,
) -> Result<(Config, Vec<Resolved>), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut tree = tree::parse(text, &mut problems);
    // What follows from half a file would only confuse.
    if !problems.is_empty() {
        return Err(problems);
    }
    tree::overlay_environment(&mut tree, surroundings.environment.iter().cloned());
    if let Some(listen) = &surroundings.listen {
        let path = ["server".to_owned(), "listen".to_owned()];
        tree::set(
            &mut tree,
            &path,
            Value::String(listen.clone()),
            Origin::Flag("--listen"),
        );
    }
    let report = Report::default();
    let config = read(tree, surroundings, demo, &report);
    let (found, resolved) = report.into_parts();
    problems.extend(found);
    match config {
        Some(config) if problems.is_empty() => Ok((config, resolved)),
        _ => Err(problems),
    }
}

/// Where the admin port of the configuration at `path` is, whatever else is wrong with it.
pub fn admin_listen(path: &Path, surroundings: &Surroundings) -> Option<SocketAddr> {
    let mut tree = tree::parse(
        &std::fs::read_to_string(path).unwrap_or_default(),
        &mut Vec::new(),
    );
    tree::overlay_environment(&mut tree, surroundings.environment.iter().cloned());
    let report = Report::default();
    sections::admin(Section::root(tree, &report).section("admin"), surroundings)
        .map(|admin| admin.listen)
}

/// What the commands need that speak to the admin API or open the ledger's file.
#[derive(Clone, Debug)]
pub struct Administration {
    pub listen: SocketAddr,
    pub token: Option<Secret>,
    pub store: ledger::Settings,
    pub teams: Teams,
    /// Those of the configuration; a virtual key brings its own.
    pub budgets: Vec<Arc<Budget>>,
}

/// The parts of the file at `path` that commands need, whatever stands in the others: their variables are the gateway's.
///
/// # Errors
/// Every problem there is in these parts.
pub fn administration(
    path: &Path,
    surroundings: &Surroundings,
) -> Result<Administration, Vec<Problem>> {
    let mut problems = Vec::new();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        vec![Problem {
            path: String::new(),
            origin: None,
            message,
        }]
    })?;
    let mut tree = tree::parse(&text, &mut problems);
    tree::overlay_environment(&mut tree, surroundings.environment.iter().cloned());
    let report = Report::default();
    let mut root = Section::root(tree, &report);
    let admin = sections::admin(root.section("admin"), surroundings);
    let store = governance::store(root.section("store"));
    let teams = governance::teams(root.named_sections("teams"));
    let mut budgets = governance::gateway(&mut root).budgets;
    budgets.extend(teams.values().flat_map(|team| team.budgets.iter().cloned()));
    for (kind, sections) in [
        ("key", root.named_sections("keys")),
        ("model", root.named_sections("models")),
    ] {
        for (name, mut section) in sections {
            budgets.extend(governance::budgets(&mut section, &format!("{kind}:{name}")));
        }
    }
    problems.extend(report.into_parts().0);
    match admin {
        Some(Admin { listen, token }) if problems.is_empty() => Ok(Administration {
            listen,
            token,
            store,
            teams,
            budgets,
        }),
        _ => Err(problems),
    }
}

fn read(
    mut tree: Table,
    surroundings: &Surroundings,
    demo: Option<Demo>,
    report: &Report,
) -> Option<Config> {
    if demo.is_some() {
        for ignored in ["aws", "keys", "store"] {
            tree.remove(ignored);
        }
    }
    let mut root = Section::root(tree, report);
    let server = sections::server(root.section("server"));
    let admin = sections::admin(root.section("admin"), surroundings);
    let aws = sections::aws(root.section("aws"), surroundings, demo.as_ref());
    let defaults = models::defaults(root.section("defaults"));
    let region = aws.as_ref().map_or("us-east-1", |aws| aws.region.as_str());
    let models = models::models(root.named_sections("models"), &defaults, region, report);
    let sections = root.named_sections("knowledge_bases");
    let knowledge_bases = knowledge_bases::knowledge_bases(sections, &defaults, region, &models);
    let teams = governance::teams(root.named_sections("teams"));
    let store = match demo {
        Some(_) => {
            root.section("store");
            ledger::Settings::in_memory()
        }
        None => governance::store(root.section("store")),
    };
    let is_demo = demo.is_some();
    let keys = match demo {
        Some(demo) => vec![demo.key],
        None => keys::keys(root.named_sections("keys"), &teams, surroundings, report),
    };
    if keys.is_empty() && admin.as_ref().is_some_and(|admin| admin.token.is_none()) {
        let text = "no key is configured, so every request would be refused; add [keys.NAME] with secret_env, or set \
                    the admin token and make one with `lintel keys create`";
        report.problem("keys", None, text);
    }
    for (key, name) in keys.iter().flat_map(|key| {
        key.caller
            .model_limits
            .iter()
            .map(move |(name, _)| (key, name))
    }) {
        if !models.named().any(|model| model.name == *name) {
            let path = format!("keys.{}.model_limits.{name}", key.caller.key_id);
            report.problem(
                path,
                None,
                "there is no model of this name (an alias has the limits of its target)",
            );
        }
    }
    let budget = governance::gateway(&mut root);
    let alerts = governance::alerts(root.section("alerts"), surroundings);
    let budgeted = |key: &Key| {
        let caller = &key.caller;
        let of_users = caller
            .end_users
            .as_ref()
            .is_some_and(|users| !users.budgets.is_empty());
        !caller.budgets.is_empty()
            || of_users
            || caller
                .team
                .as_ref()
                .is_some_and(|team| !team.budgets.is_empty())
    };
    if !defaults.allow_unpriced {
        let everything = !budget.budgets.is_empty();
        let by_key = |model: &call::Model| {
            !is_demo
                && keys
                    .iter()
                    .any(|key| budgeted(key) && key.caller.may_use(&model.name, false))
        };
        governance::check_prices(
            models
                .named()
                .filter(|model| everything || by_key(model) || !model.budgets.is_empty()),
            report,
        );
    }
    let remote_media = sections::remote_media(root.section("remote_media"));
    root.finish();
    Some(Config {
        server: server?,
        admin: admin?,
        aws: aws?,
        models,
        knowledge_bases,
        keys,
        teams,
        budget,
        store,
        alerts,
        allow_unpriced: defaults.allow_unpriced,
        drain: defaults.drain,
        remote_media,
    })
}
