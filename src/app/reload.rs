//! Reloads: puts another configuration in force while calls run. Calls that have begun end with the old one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::lasting::Lasting;
use crate::{
    admin::{KeyStore, Reload, Reloaded},
    config::{self, Config, Environment, Problem, ResolvedValue},
    edge::Edge,
    governance::Ledger,
    metrics,
    money::Budget,
    telemetry::Telemetry,
};

/// Settings that are read only when the process starts, by the beginning of their paths.
const NEEDS_RESTART: [&str; 7] = [
    "server.",
    "responses.",
    "admin.",
    "aws.",
    "store.",
    "alerts.",
    "defaults.on_disconnect",
];

/// Settings of `[aws]` that decide where every model is called. If they change, nothing is reloaded, because half of a
/// gateway would follow them.
const PLACES: [&str; 3] = ["aws.region", "aws.residency", "aws.mantle"];

/// The same of other accounts, whose sessions begin when the process starts.
const ACCOUNTS: &str = "aws.accounts.";

/// Where a configuration comes from.
#[derive(Clone)]
pub struct Source {
    pub path: PathBuf,
    pub environment: Environment,
    /// The text that the process started with, and its values.
    pub text: String,
    pub values: Vec<ResolvedValue>,
}

/// Replaces the gateway of a process.
pub struct Reloader {
    path: PathBuf,
    environment: Environment,
    lasting: Lasting,
    telemetry: Telemetry,
    edge: Arc<Edge>,
    key_store: KeyStore,
    /// Held during a reload.
    in_force: Mutex<InForce>,
}

/// What of the configuration in force the next reload needs.
struct InForce {
    /// The text that was read last, although it may have been refused.
    text: String,
    values: BTreeMap<String, String>,
    budgets: BTreeSet<Arc<str>>,
    /// Keys whose end users have budgets.
    with_users: BTreeSet<String>,
}

impl Reloader {
    pub fn new(
        source: Source,
        lasting: Lasting,
        telemetry: Telemetry,
        edge: Arc<Edge>,
        key_store: KeyStore,
        config: &Config,
    ) -> Self {
        metrics::config_reloaded(true);
        let in_force = InForce::of(config, source.text, source.values);
        Self {
            path: source.path,
            environment: source.environment,
            lasting,
            telemetry,
            edge,
            key_store,
            in_force: Mutex::new(in_force),
        }
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reports whether this is the text that was read last.
    pub async fn has_read(&self, text: &[u8]) -> bool {
        self.in_force.lock().await.text.as_bytes() == text
    }

    async fn replace(&self, is_dry: bool) -> Result<Reloaded, Vec<Problem>> {
        let mut in_force = self.in_force.lock().await;
        let (path, environment) = (self.path.clone(), self.environment.clone());
        let read = tokio::task::spawn_blocking(move || {
            let text = config::read_file(&path)?;
            let parsed = config::parse(&text, &environment, None);
            Ok::<_, Vec<Problem>>((text, parsed))
        });
        let read = read
            .await
            .map_err(|error| vec![problem("", error.to_string())])?;
        let (text, parsed) = read?;
        if !is_dry {
            in_force.text = text.clone();
        }
        let (config, values) = parsed?;
        let next = InForce::of(&config, text, values);
        let mut reloaded = in_force.compared(&next)?;
        let file = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        reloaded.file = file.display().to_string();
        if is_dry {
            return Ok(reloaded);
        }
        let unreadable = |error| {
            vec![problem(
                "store",
                format!("the ledger cannot be read: {error}"),
            )]
        };
        self.key_store
            .set_teams(config.teams.clone())
            .await
            .map_err(unreadable)?;
        self.set_budgets(&in_force, &next, &config).await;
        self.edge
            .gateway
            .store(Arc::new(self.lasting.gateway(&config)));
        self.telemetry.set_log_level(config.log_level);
        for warning in config::warnings(&config) {
            tracing::warn!("{warning}");
        }
        // What needs a restart is still in force, and is named again by the next reload.
        let old = std::mem::replace(&mut *in_force, next);
        in_force.values.retain(|path, _| !needs_restart(path));
        in_force.values.extend(
            old.values
                .into_iter()
                .filter(|(path, _)| needs_restart(path)),
        );
        Ok(reloaded)
    }

    /// Gives the ledger the budgets of `config`, and ends those that it no longer has.
    async fn set_budgets(&self, old: &InForce, new: &InForce, config: &Config) {
        let ledger = &self.lasting.ledger;
        for scope in old.budgets.difference(&new.budgets) {
            // Without budgets there is nothing to read, so this cannot fail.
            let _ = ledger.set_budgets(scope, Vec::new()).await;
        }
        for key_id in old.with_users.difference(&new.with_users) {
            ledger.end_user_budgets(key_id);
        }
        if let Err(error) = track(ledger, config).await {
            tracing::error!(
                error,
                "budgets could not be read; each is read again by the next call that it limits"
            );
        }
    }
}

impl Reload for Reloader {
    fn reload(&self, is_dry: bool) -> BoxFuture<'_, Result<Reloaded, Vec<Problem>>> {
        Box::pin(async move {
            let result = self.replace(is_dry).await;
            if is_dry {
                return result;
            }
            metrics::config_reloaded(result.is_ok());
            match &result {
                Ok(reloaded) => tracing::info!(
                    changed = reloaded.changed.join("; "),
                    needs_restart = reloaded.needs_restart.join("; "),
                    "the configuration is reloaded"
                ),
                Err(problems) => {
                    for problem in problems {
                        tracing::error!(%problem, "the configuration is not reloaded; the old one stays in force");
                    }
                }
            }
            result
        })
    }
}

impl InForce {
    fn of(config: &Config, text: String, values: Vec<ResolvedValue>) -> Self {
        let values = values.into_iter().map(|value| (value.path, value.value));
        let with_users = config
            .keys
            .iter()
            .filter(|key| key.caller.end_users.is_some());
        Self {
            text,
            values: values.collect(),
            budgets: budgets(config).map(|budget| budget.scope.clone()).collect(),
            with_users: with_users.map(|key| key.caller.key_id.clone()).collect(),
        }
    }

    /// Returns what changes from these values to those of `next`.
    ///
    /// # Errors
    /// If `next` cannot be put in force without a restart.
    fn compared(&self, next: &Self) -> Result<Reloaded, Vec<Problem>> {
        let paths: BTreeSet<&String> = self.values.keys().chain(next.values.keys()).collect();
        let (mut reloaded, mut problems) = (Reloaded::default(), Vec::new());
        for path in paths {
            let (old, new) = (self.values.get(path), next.values.get(path));
            if old == new {
                continue;
            }
            let show = |value: Option<&String>| value.map_or("none".to_owned(), |text| shown(text));
            let line = format!("{path}: {} -> {}", show(old), show(new));
            if PLACES.contains(&path.as_str()) || path.starts_with(ACCOUNTS) {
                problems.push(problem(
                    path,
                    "changed, which needs a restart; nothing was reloaded".to_owned(),
                ));
            } else if needs_restart(path) {
                reloaded.needs_restart.push(line);
            } else {
                reloaded.changed.push(line);
            }
        }
        match problems.is_empty() {
            true => Ok(reloaded),
            false => Err(problems),
        }
    }
}

/// The path and the user of a URL can be secrets, such as those of a webhook.
fn shown(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    match scheme {
        "sqlite" | "file" | "s3" => value.to_owned(),
        _ => format!("{scheme}://{host}/…"),
    }
}

fn needs_restart(path: &str) -> bool {
    NEEDS_RESTART.iter().any(|start| path.starts_with(start))
}

fn problem(path: &str, message: String) -> Problem {
    Problem {
        path: path.to_owned(),
        origin: None,
        message,
    }
}

/// Tracks every budget of the configuration in the ledger, which restores what is already spent.
///
/// # Errors
/// If the ledger cannot be read.
pub async fn track(ledger: &Ledger, config: &Config) -> Result<(), String> {
    ledger.set_all_budgets(budgets(config).cloned()).await?;
    let callers = config.keys.iter().map(|key| &*key.caller);
    ledger.restore_end_users(callers).await
}

fn budgets(config: &Config) -> impl Iterator<Item = &Arc<Budget>> {
    let of_keys = config.keys.iter().flat_map(|key| &key.caller.budgets);
    let of_teams = config.teams.values().flat_map(|team| &team.budgets);
    let of_models = config.models.named().flat_map(|model| &model.budgets);
    of_keys
        .chain(of_teams)
        .chain(of_models)
        .chain(&config.budget.budgets)
}
