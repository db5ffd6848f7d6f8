//! Limits and budgets, and where they are kept: `limits`, `budget`, `[teams]`, `[budget]`, `[store]`, `[responses]`, `[alerts]`.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytesize::ByteSize;
use jiff::tz::TimeZone;

use super::{Environment, diagnostics::Diagnostics, keys, reader::Section};
use crate::{
    call::{EndUsers, Secret, Team},
    governance::{Durability, Location, ResponseSettings, StoreSettings},
    model::{Limits, Model},
    money::{Budget, Mode, NanoUsd, Per},
    webhook::Webhook,
};

const MONEY: &str = "an amount of US dollars from 0 to 999999999, with at most nine decimal places";

/// After a restart a budget is summed up from its records, so those of the longest period must still exist.
const MIN_RETENTION: Duration = Duration::from_secs(32 * 86_400);

/// `[budget]`: the budgets of the whole gateway.
#[derive(Clone, Debug, Default)]
pub struct GatewayBudget {
    pub budgets: Vec<Arc<Budget>>,
    /// Requests that cost more raise an alert.
    pub alert_request: Option<NanoUsd>,
}

pub type Teams = BTreeMap<String, Arc<Team>>;

/// The table `limits`.
pub fn limits(section: &mut Section<'_>) -> Limits {
    if !section.has("limits") {
        return Limits::default();
    }
    let mut section = section.section("limits");
    let limits = read_limits(&mut section);
    section.finish();
    limits
}

fn read_limits(section: &mut Section<'_>) -> Limits {
    let mut count = |key| {
        section
            .count(key, u64::from(u32::MAX))
            .and_then(|count| u32::try_from(count).ok())
    };
    let limits = Limits {
        requests_per_minute: count("requests_per_minute"),
        burst: count("burst"),
        tokens_per_minute: count("tokens_per_minute"),
        max_request_tokens: count("max_request_tokens"),
        in_flight: count("in_flight"),
    };
    if limits.burst.is_some() && limits.requests_per_minute.is_none() {
        section.problem_at("burst", "has no effect without requests_per_minute");
    }
    limits
}

/// `model_limits`: limits by model name.
pub fn model_limits(section: &mut Section<'_>) -> Vec<(String, Limits)> {
    if !section.has("model_limits") {
        return Vec::new();
    }
    let read = |(name, mut section): (String, Section<'_>)| {
        let limits = read_limits(&mut section);
        section.finish();
        (name, limits)
    };
    section
        .named_sections("model_limits")
        .into_iter()
        .map(read)
        .collect()
}

/// `budget`: a table, or an array of tables, each with its own period.
pub fn budgets(section: &mut Section<'_>, scope: &str) -> Vec<Arc<Budget>> {
    if !section.has("budget") {
        return Vec::new();
    }
    let read = |mut section: Section<'_>| {
        let budget = budget(&mut section, scope);
        section.finish();
        budget.map(Arc::new)
    };
    let budgets: Vec<Arc<Budget>> = section
        .tables("budget")
        .into_iter()
        .filter_map(read)
        .collect();
    check_periods(section, &budgets);
    budgets
}

fn check_periods(section: &Section<'_>, budgets: &[Arc<Budget>]) {
    let periods: HashSet<Per> = budgets.iter().map(|budget| budget.per).collect();
    if periods.len() < budgets.len() {
        section.problem_at("budget", "has two budgets for the same period; keep one");
    }
}

fn budget(section: &mut Section<'_>, scope: &str) -> Option<Budget> {
    let limit = section.decimal("usd", MONEY, NanoUsd::parse);
    if limit == Some(NanoUsd(0)) {
        section.problem_at(
            "usd",
            "must be more than zero; to allow no spend, revoke the key",
        );
    }
    if limit.is_none() && !section.was_given("usd") {
        section.problem("needs 'usd'");
    }
    let per = section.choice("per", &Per::ALL.map(|(name, per)| (name, Some(per))), None);
    if per.is_none() && !section.was_given("per") {
        section.problem("needs 'per': \"hour\", \"day\", \"week\" or \"month\"");
    }
    let timezone =
        section
            .string("timezone")
            .map_or(Some(TimeZone::UTC), |name| match TimeZone::get(&name) {
                Ok(timezone) => Some(timezone),
                Err(_) => {
                    section.problem_at(
                        "timezone",
                        format!("'{name}' is not a time zone such as \"Europe/Berlin\""),
                    );
                    None
                }
            });
    let mode = section.choice(
        "mode",
        &[("strict", Mode::Strict), ("sliced", Mode::Sliced)],
        Mode::Strict,
    );
    let fit = section.boolean("fit", false);
    let wait = section.pause("wait").unwrap_or(Duration::ZERO);
    let alert_at = section.shares("alert_at").unwrap_or_default();
    let per = per?;
    let id = format!("{scope}/{}", per.as_str()).into();
    Some(Budget {
        scope: scope.into(),
        id,
        limit: limit?,
        per,
        timezone: timezone?,
        mode,
        fit,
        wait,
        alert_at,
    })
}

/// `end_users`: limits and budgets of each single end user of a key.
pub fn end_users(section: &mut Section<'_>, key_id: &str) -> Option<EndUsers> {
    let mut section = section
        .has("end_users")
        .then(|| section.section("end_users"))?;
    let limits = limits(&mut section);
    let budgets = budgets(&mut section, &format!("key:{key_id}"));
    let max = section.count("max", 1_000_000);
    let max = section.or_default("max", max, 10_000);
    section.finish();
    Some(EndUsers {
        limits,
        budgets,
        max: usize::try_from(max).unwrap_or(usize::MAX),
        ..EndUsers::default()
    })
}

pub fn teams(sections: Vec<(String, Section<'_>)>) -> Teams {
    let read = |(name, mut section): (String, Section<'_>)| {
        let limits = limits(&mut section);
        let budgets = budgets(&mut section, &format!("team:{name}"));
        section.finish();
        (
            name.clone(),
            Arc::new(Team {
                name,
                limits,
                budgets,
            }),
        )
    };
    sections.into_iter().map(read).collect()
}

/// `[budget]`, which also sets the cost above which a request raises an alert.
pub fn gateway(root: &mut Section<'_>) -> GatewayBudget {
    if !root.has("budget") {
        return GatewayBudget::default();
    }
    let mut alert_request = None;
    let mut budgets: Vec<Arc<Budget>> = Vec::new();
    for mut section in root.tables("budget") {
        alert_request = section
            .decimal("alert_request_usd", MONEY, NanoUsd::parse)
            .or(alert_request);
        // `alert_request_usd` works without a budget.
        if section.has("usd") || section.has("per") {
            budgets.extend(budget(&mut section, "gateway").map(Arc::new));
        }
        section.finish();
    }
    check_periods(root, &budgets);
    GatewayBudget {
        budgets,
        alert_request,
    }
}

/// `[store]`, with the secret of `encryption_key_file`.
pub fn store(mut section: Section<'_>) -> (StoreSettings, Option<Secret>) {
    let url = section.string("url");
    let url = section.or_default("url", url, "sqlite:lintel.db".to_owned());
    let location = match url.split_once(':') {
        Some(("memory", "")) => Location::Memory,
        Some(("sqlite", path)) if !path.is_empty() => {
            Location::File(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
        }
        Some(("redis" | "rediss", _)) => {
            section.problem_at(
                "url",
                "this version of lintel has no store for several machines; use sqlite:FILE",
            );
            Location::Memory
        }
        _ => {
            section.problem_at(
                "url",
                format!("'{url}' is not \"sqlite:FILE\" or \"memory:\""),
            );
            Location::Memory
        }
    };
    let choices = [
        ("process", Durability::Process),
        ("power", Durability::Power),
    ];
    let durability = section.choice("durability", &choices, Durability::Process);
    let retention = section.long_duration_or("retention", Duration::from_secs(90 * 86_400));
    if retention < MIN_RETENTION {
        section.problem_at("retention", "must be at least 32 days");
    }
    let encryption_key = encryption_key(&mut section);
    section.finish();
    let settings = StoreSettings {
        location,
        durability,
        retention,
    };
    (settings, encryption_key)
}

fn encryption_key(section: &mut Section<'_>) -> Option<Secret> {
    let path = section.string("encryption_key_file")?;
    let problem = match std::fs::read_to_string(&path) {
        Ok(text) => match keys::weakness(text.trim_end()) {
            None => return Some(Secret::new(text.trim_end())),
            Some(weakness) => format!("the key in {path} {weakness}"),
        },
        Err(error) => format!("cannot read {path}: {error}"),
    };
    section.problem_at("encryption_key_file", problem);
    None
}

/// `[responses]`.
pub fn responses(mut section: Section<'_>, encryption_key: Option<Secret>) -> ResponseSettings {
    let is_on = section.boolean("store", true);
    let retention = section.long_duration_or("retention", Duration::from_secs(86_400));
    let max_bytes_per_key = section.size_or("max_bytes_per_key", ByteSize::mib(64));
    let max_bytes = section.size_or("max_bytes", ByteSize::gib(1));
    let max_chain = section.count("max_chain", 10_000);
    let max_chain = section.or_default("max_chain", max_chain, 200);
    section.finish();
    ResponseSettings {
        is_on,
        retention,
        max_bytes_per_key: max_bytes_per_key.as_u64(),
        max_bytes: max_bytes.as_u64(),
        max_chain: u32::try_from(max_chain).unwrap_or(u32::MAX),
        encryption_key,
    }
}

/// `[alerts]`; `None` without a URL.
pub fn alerts(mut section: Section<'_>, environment: &Environment) -> Option<Webhook> {
    let url = section.string("webhook_url");
    let secret_env = section.string("secret_env");
    let secret = secret_env
        .as_deref()
        .and_then(|name| environment.variable(name))
        .map(Secret::new);
    if let (Some(name), None) = (&secret_env, &secret) {
        section.problem_at(
            "secret_env",
            format!("the environment variable {name} is not set"),
        );
    }
    let webhook = url.and_then(|url| match Webhook::new(&url, secret) {
        Ok(webhook) => Some(webhook),
        Err(error) => {
            section.problem_at("webhook_url", error);
            None
        }
    });
    section.finish();
    webhook
}

/// The team of a key.
pub fn team(section: &mut Section<'_>, teams: &Teams) -> Option<Arc<Team>> {
    let name = section.string("team")?;
    let team = teams.get(&name).cloned();
    if team.is_none() {
        section.problem_at("team", format!("there is no [teams.{name}]"));
    }
    team
}

/// A budget rejects every request to a model without a price, so such a model is reported at start.
pub fn check_prices<'m>(models: impl Iterator<Item = &'m Arc<Model>>, diagnostics: &Diagnostics) {
    for model in models.filter(|model| model.price.is_none()) {
        let text = "has a budget but no known price, so its requests would be rejected. Set price = { input, output }, or \
                    defaults.unpriced_models = \"allow\"";
        diagnostics.problem(format!("models.{}", model.name), None, text);
    }
}
