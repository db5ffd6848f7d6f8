//! The configuration. `tree` holds the file as written, `environment` what overrides it; `reader` reads both by type and
//! reports every problem; `sections`, `models`, `keys` and `governance` define which settings exist.

mod admin_tokens;
mod administration;
mod diagnostics;
mod environment;
mod governance;
mod keys;
mod knowledge_bases;
mod models;
mod moderations;
mod options;
mod reader;
mod sections;
mod server;
mod tree;
mod warnings;

use std::{net::SocketAddr, path::Path, time::Duration};

use axum::http::HeaderValue;
use ipnet::IpNet;
use tracing_subscriber::filter::LevelFilter;

pub use administration::{Administration, admin_port, administration};
pub use diagnostics::{Problem, ResolvedValue};
pub use environment::{Environment, Flag};
pub use governance::{GatewayBudget, Teams};
pub use keys::{KeySettings, virtual_key};
pub use tree::Origin;
pub use warnings::warnings;

use crate::{
    call::Secret,
    dispatch::Models,
    edge::Key,
    governance::{ResponseSettings, StoreSettings},
    knowledge::KnowledgeBases,
    model::{Model, Residency},
    remote_media::RemoteMedia,
    server::TlsSettings,
    upstream::AwsSettings,
    webhook::Webhook,
};
use diagnostics::Diagnostics;
use reader::Section;
use tree::Table;

/// The documented example, which is also the configuration of `lintel demo`.
pub const EXAMPLE: &str = include_str!("../../config.toml");

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: ServerSettings,
    pub admin: AdminSettings,
    pub aws: Aws,
    pub models: Models,
    pub knowledge_bases: KnowledgeBases,
    pub keys: Vec<Key>,
    pub teams: Teams,
    /// The budgets of the whole gateway.
    pub budget: GatewayBudget,
    pub store: StoreSettings,
    pub responses: ResponseSettings,
    /// If `None`, alerts only go to the log.
    pub alerts: Option<Webhook>,
    /// Budgets allow models without a price.
    pub allow_unpriced: bool,
    /// When a client disconnects, its call is read to the end.
    pub drain: bool,
    /// If `None`, media are not fetched.
    pub remote_media: Option<RemoteMedia>,
    /// Of the gateway's own lines in the log.
    pub log_level: LevelFilter,
}

#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub listen: SocketAddr,
    /// Bytes.
    pub max_body: usize,
    /// Bytes of all requests in flight.
    pub max_buffered_bodies: usize,
    pub header_timeout: Duration,
    /// Between the signal to stop and the end of accepting.
    pub pre_stop: Duration,
    pub drain_timeout: Duration,
    /// When a stream that has not begun is answered with status 200 and comments.
    pub commit_after: Option<Duration>,
    pub max_in_flight: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub keep_alive: Duration,
    /// Per address.
    pub failed_logins_per_minute: u32,
    /// Per key.
    pub max_requests_per_second: u32,
    pub cors_origins: Vec<HeaderValue>,
    /// Proxies that are believed about the addresses of clients.
    pub trusted_proxies: Vec<IpNet>,
    pub tls: Option<TlsSettings>,
    /// HTTP/2 without TLS.
    pub h2c: bool,
    /// Secrets that seal what clients keep for the gateway. The first seals, and all open.
    pub seal_keys: Vec<Secret>,
    /// Changes of the file are put in force.
    pub watch_config: bool,
    /// Secrets from which the key pairs of AWS SDKs are derived. The pairs of the first are issued, and those of all are accepted.
    pub sigv4_keys: Vec<Secret>,
    /// Rejects requests with reasoning that cannot be opened, instead of dropping it.
    pub refuses_foreign_reasoning: bool,
    /// Rejects requests with tools that only OpenAI or Anthropic run, instead of dropping these.
    pub refuses_hosted_tools: bool,
}

#[derive(Clone, Debug)]
pub struct AdminSettings {
    pub listen: SocketAddr,
    /// The token without a name. Without any token, the admin API answers 403.
    pub token: Option<Secret>,
    pub tls: Option<TlsSettings>,
    /// The tokens of `[admin.tokens.*]`.
    pub tokens: Vec<AdminToken>,
}

/// A named token of the admin API, so that the audit log says who did what. Only the digest of the secret is kept.
#[derive(Clone, Debug)]
pub struct AdminToken {
    pub name: String,
    pub digest: [u8; 32],
    pub may_write: bool,
}

impl AdminSettings {
    /// Other machines can reach the port.
    pub fn is_exposed(&self) -> bool {
        !self.listen.ip().to_canonical().is_loopback()
    }
}

#[derive(Clone, Debug)]
pub struct Aws {
    pub region: String,
    pub places: Places,
    pub settings: AwsSettings,
    /// Clients see the models that the account can call.
    pub discovery: bool,
}

/// Where the models of the gateway may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// bedrock-mantle may be called.
    pub mantle: bool,
    pub residency: Residency,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            mantle: true,
            residency: Residency::default(),
        }
    }
}

/// Replaces `[aws]` and `[keys]` in `lintel demo`.
pub struct Demo {
    /// URL of the embedded simulator.
    pub endpoint_url: String,
    pub credentials: (String, Secret),
    pub key: Key,
}

/// Reads the file at `path`.
///
/// # Errors
/// Every problem in the configuration.
pub fn load(
    path: &Path,
    environment: &Environment,
    demo: Option<Demo>,
) -> Result<(Config, Vec<ResolvedValue>), Vec<Problem>> {
    parse(&read_file(path)?, environment, demo)
}

/// Reads `text` as a configuration file.
///
/// # Errors
/// Every problem in the configuration.
pub fn parse(
    text: &str,
    environment: &Environment,
    demo: Option<Demo>,
) -> Result<(Config, Vec<ResolvedValue>), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut tree = tree::parse(text, &mut problems);
    // Further problems of a file that is only half parsed would be misleading.
    if !problems.is_empty() {
        return Err(problems);
    }
    environment.overlay(&mut tree);
    let diagnostics = Diagnostics::default();
    let config = read(tree, environment, demo, &diagnostics);
    let (found, resolved) = diagnostics.into_parts();
    problems.extend(found);
    match config {
        Some(config) if problems.is_empty() => Ok((config, resolved)),
        _ => Err(problems),
    }
}

/// Reads the text of the file at `path`.
///
/// # Errors
/// If it cannot be read.
pub fn read_file(path: &Path) -> Result<String, Vec<Problem>> {
    std::fs::read_to_string(path).map_err(|error| {
        vec![Problem {
            path: String::new(),
            origin: None,
            message: format!("cannot read {}: {error}", path.display()),
        }]
    })
}

fn read(
    mut tree: Table,
    environment: &Environment,
    demo: Option<Demo>,
    diagnostics: &Diagnostics,
) -> Option<Config> {
    if demo.is_some() {
        for ignored in ["aws", "keys", "store"] {
            tree.remove(ignored);
        }
    }
    let mut root = Section::root(tree, diagnostics);
    let server = server::server(root.section("server"), environment);
    let admin = sections::admin(root.section("admin"), environment);
    let aws = sections::aws(root.section("aws"), environment, demo.as_ref());
    let defaults = models::defaults(
        root.section("defaults"),
        aws.as_ref().map(|aws| &aws.settings),
    );
    let region = aws.as_ref().map_or("us-east-1", |aws| aws.region.as_str());
    let models = models::models(
        root.named_sections("models"),
        &defaults,
        region,
        aws.as_ref().map(|aws| aws.places).unwrap_or_default(),
        diagnostics,
    );
    let moderation = moderations::moderations(root.section("moderations"), &defaults, region);
    let models = models.with_moderation(moderation);
    let sections = root.named_sections("knowledge_bases");
    let knowledge_bases = knowledge_bases::knowledge_bases(sections, &defaults, region, &models);
    let teams = governance::teams(root.named_sections("teams"));
    let (store, encryption_key) = match demo {
        Some(_) => {
            root.section("store");
            (StoreSettings::in_memory(), None)
        }
        None => governance::store(root.section("store")),
    };
    let responses = governance::responses(root.section("responses"), encryption_key);
    let is_demo = demo.is_some();
    let keys = match demo {
        Some(demo) => vec![demo.key],
        None => keys::keys(
            root.named_sections("keys"),
            &teams,
            environment,
            diagnostics,
        ),
    };
    let can_create_keys = |admin: &AdminSettings| {
        admin.token.is_some() || admin.tokens.iter().any(|token| token.may_write)
    };
    let has_admin_token = admin.as_ref().is_none_or(can_create_keys);
    check_access(&models, &keys, has_admin_token, diagnostics);
    for (key, name) in keys.iter().flat_map(|key| {
        key.caller
            .model_limits
            .iter()
            .map(move |(name, _)| (key, name))
    }) {
        if !models.named().any(|model| model.name == *name) {
            let path = format!("keys.{}.model_limits.{name}", key.caller.key_id);
            diagnostics.problem(
                path,
                None,
                "no model has this name; an alias has the limits of its target, so name the target",
            );
        }
    }
    let budget = governance::gateway(&mut root);
    let alerts = governance::alerts(root.section("alerts"), environment);
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
        let by_key = |model: &Model| {
            !is_demo
                && keys
                    .iter()
                    .any(|key| budgeted(key) && key.caller.may_use(&model.name, false))
        };
        governance::check_prices(
            models
                .named()
                .filter(|model| everything || by_key(model) || !model.budgets.is_empty()),
            diagnostics,
        );
    }
    let remote_media = sections::remote_media(root.section("remote_media"));
    let log_level = sections::log_level(root.section("log"));
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
        responses,
        alerts,
        allow_unpriced: defaults.allow_unpriced,
        drain: defaults.drain,
        remote_media,
        log_level,
    })
}

/// A gateway that rejects every request is a mistake: no key exists, or no key can use any model.
fn check_access(models: &Models, keys: &[Key], has_admin_token: bool, diagnostics: &Diagnostics) {
    if keys.is_empty() && !has_admin_token {
        diagnostics.problem(
            "keys",
            None,
            "no key is configured, so every request would be rejected. Add [keys.NAME] with secret_env, or set the \
             admin token and create a key with `lintel keys create`",
        );
    }
    if models.named().next().is_some() {
        return;
    }
    if models.raw().is_none() {
        diagnostics.problem(
            "models",
            None,
            "no model is configured, and defaults.raw_model_ids is false. Add [models.NAME] with a target, or set \
             raw_model_ids = true and give a key globs over Bedrock ids, such as models = [\"us.anthropic.*\"]",
        );
    } else if !has_admin_token
        && !keys.is_empty()
        && keys.iter().all(|key| !key.caller.may_use_raw_ids())
    {
        diagnostics.problem(
            "models",
            None,
            "no model is configured, and no key may use Bedrock ids. Add [models.NAME] with a target, or give a key \
             globs, such as models = [\"us.anthropic.*\"], or raw = true for every id",
        );
    }
}
