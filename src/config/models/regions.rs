//! `regions`, `strategy` and `weights` of a model: where it is called, and how one of its regions is chosen.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    catalogue,
    config::{reader::Section, sections::OWN_ACCOUNT},
    model::{Model, Residency, Strategy, Target},
    upstream::AwsSettings,
};

/// The most regions of a model.
const MAX_REGIONS: usize = 16;
const MAX_WEIGHT: u64 = 100;
/// The longest that a call may wait for its turn.
const MAX_QUEUE: Duration = Duration::from_secs(60);
/// The most targets of a model.
const MAX_PLACES: usize = 32;

/// The regions of a model, as configured.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    /// In order of preference. If `None`, the region of `[aws]`.
    names: Option<Vec<String>>,
    /// The names of the accounts, in order of preference. If empty, the gateway's own.
    accounts: Vec<String>,
    /// The accounts that exist beside the gateway's own, and where they are called.
    known: BTreeMap<String, Option<Vec<String>>>,
    strategy: Strategy,
    /// How long a call waits if it fits nowhere.
    queue: Option<Duration>,
    weights: BTreeMap<String, u32>,
}

/// Reads the settings of `[defaults]`, or those of a model whose defaults are `defaults`.
pub fn read(section: &mut Section<'_>, defaults: &Regions) -> Regions {
    let names = section.strings("regions");
    if let Some(names) = &names {
        let is_repeated = |name: &String| names.iter().filter(|one| *one == name).count() > 1;
        if names.is_empty() || names.len() > MAX_REGIONS {
            let text = format!("must name between 1 and {MAX_REGIONS} regions");
            section.problem_at("regions", text);
        } else if let Some(name) = names.iter().find(|name| is_repeated(name)) {
            section.problem_at("regions", format!("names {name} more than once"));
        } else if let Some(name) = names.iter().find(|name| !is_region(name)) {
            section.problem_at(
                "regions",
                format!("'{name}' is not a region such as us-east-1"),
            );
        }
    }
    let accounts = section.strings("accounts");
    let is_known = |name: &String| name == OWN_ACCOUNT || defaults.known.contains_key(name);
    if let Some(name) = accounts.iter().flatten().find(|name| !is_known(name)) {
        let text = format!("'{name}' is neither '{OWN_ACCOUNT}' nor one of aws.accounts");
        section.problem_at("accounts", text);
    }
    let is_repeated =
        |name: &&String| accounts.iter().flatten().filter(|one| one == name).count() > 1;
    if let Some(name) = accounts.iter().flatten().find(is_repeated) {
        section.problem_at("accounts", format!("names '{name}' more than once"));
    }
    let choices = [
        ("ordered", Strategy::Ordered),
        ("round_robin", Strategy::RoundRobin),
        ("least_in_flight", Strategy::LeastInFlight),
        ("headroom", Strategy::Headroom),
    ];
    let strategy = section.choice("strategy", &choices, defaults.strategy);
    let queue = section.pause("queue");
    if queue.is_some_and(|queue| queue > MAX_QUEUE) {
        section.problem_at("queue", "must be at most 1m");
    } else if queue.is_some_and(|queue| !queue.is_zero()) && strategy != Strategy::Headroom {
        let text = "needs strategy = \"headroom\", which estimates whether a call fits";
        section.problem_at("queue", text);
    }
    let weights = section.counts("weights", MAX_WEIGHT);
    Regions {
        names: names
            .filter(|names| !names.is_empty())
            .or_else(|| defaults.names.clone()),
        accounts: accounts.unwrap_or_else(|| defaults.accounts.clone()),
        known: defaults.known.clone(),
        strategy,
        queue: match queue {
            Some(queue) => Some(queue).filter(|queue| !queue.is_zero()),
            None => defaults.queue,
        },
        weights: weights.unwrap_or_else(|| defaults.weights.clone()),
    }
}

/// Reports those of `keys`, which the section of `model` sets, that have no effect with its one target.
pub fn check_spread(
    model: &Model,
    keys: impl Iterator<Item = &'static str>,
    problem: &dyn Fn(&'static str, String),
) {
    let is_used = |key: &&str| match model.targets.strategy {
        // It also estimates whether a call fits into the quota of one target.
        Strategy::Headroom => *key == "strategy",
        Strategy::Ordered | Strategy::RoundRobin | Strategy::LeastInFlight => false,
    };
    if !model.targets.places.is_empty() {
        return;
    }
    for key in keys.filter(|key| !is_used(key)) {
        let text = "has no effect, because the model has one target; add regions or accounts";
        problem(key, text.to_owned());
    }
}

/// Reports whether `name` has the form of a region: words and a number, which the host of the service contains.
fn is_region(name: &str) -> bool {
    let mut parts = name.split('-');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    parts.next_back().is_some_and(is_number) && parts.clone().count() >= 2 && parts.all(is_word)
}

impl Regions {
    /// Returns the settings of a configuration that names no regions.
    pub fn of_accounts(aws: Option<&AwsSettings>) -> Self {
        let accounts = aws.into_iter().flat_map(|aws| &aws.accounts);
        let known = accounts.map(|(name, account)| (name.clone(), account.regions.clone()));
        Self {
            known: known.collect(),
            ..Self::default()
        }
    }

    /// The preferred region, or `default`.
    pub fn first<'a>(&'a self, default: &'a str) -> &'a str {
        let first = self.names.as_ref().and_then(|names| names.first());
        first.map_or(default, String::as_str)
    }

    /// Returns `model`, which is that of the preferred region, with all its regions. `target` is the configured id, and
    /// `has_price` means that the operator's price applies everywhere. `is_own` means that the model's own section names
    /// the regions: other models stay where they can be called. `problem` reports the problem of a setting.
    pub fn places(
        &self,
        mut model: Model,
        target: &str,
        has_price: bool,
        is_own: bool,
        problem: &dyn Fn(&'static str, String),
    ) -> Model {
        model.targets.strategy = self.strategy;
        model.targets.queue = self.queue;
        let names = self.names.as_deref().unwrap_or_default();
        let is_known = |name: &&String| !names.contains(name);
        if let Some(name) = self.weights.keys().find(is_known).filter(|_| is_own) {
            let text = format!("'{name}' is not one of the model's regions");
            problem("weights", text);
        }
        let own = [model.target().region.clone()];
        let names: &[String] = if names.is_empty() { &own } else { names };
        let none = [OWN_ACCOUNT.to_owned()];
        let is_arn = target.starts_with("arn:");
        let accounts = match self.accounts.as_slice() {
            [] => none.as_slice(),
            _ if is_arn && !is_own => none.as_slice(),
            accounts => accounts,
        };
        if names.len() == 1 && *accounts == [OWN_ACCOUNT] {
            if is_own
                && is_arn
                && let Err(text) = self.target(target, &names[0], &names[0], &model)
            {
                problem("regions", text);
            }
            return model;
        }
        if names.len() * accounts.len() > MAX_PLACES {
            let text = format!("makes more than {MAX_PLACES} targets with its accounts");
            problem("regions", text);
            return model;
        }
        if is_arn && accounts.len() > 1 {
            problem("accounts", "an ARN belongs to one account".to_owned());
        }
        let mut places = Vec::with_capacity(names.len() * accounts.len());
        for name in names {
            match self.target(target, name, &names[0], &model) {
                Ok(target) => {
                    let accounts = accounts.iter().filter(|account| self.serves(account, name));
                    places.extend(accounts.map(|account| {
                        let account = (account != OWN_ACCOUNT).then(|| account.as_str().into());
                        let target = Target {
                            account,
                            ..target.clone()
                        };
                        self.place(&model, target, has_price)
                    }));
                }
                Err(text) if is_own => problem("regions", text),
                Err(_) => {}
            }
        }
        if places.is_empty() && is_own && *accounts != [OWN_ACCOUNT] {
            let text = "none of them is called in the model's regions";
            problem("accounts", text.to_owned());
        }
        model.with_places(places)
    }

    /// Reports whether `account` is called in `region`.
    fn serves(&self, account: &str, region: &str) -> bool {
        let regions = self.known.get(account).and_then(Option::as_ref);
        regions.is_none_or(|regions| regions.iter().any(|one| one == region))
    }

    /// Returns the target of `model` in the region `name`, of regions that begin with `first`.
    ///
    /// # Errors
    /// Returns why the model cannot be called there.
    fn target(
        &self,
        target: &str,
        name: &str,
        first: &str,
        model: &Model,
    ) -> Result<Target, String> {
        let residency = model.options.residency;
        if residency == Residency::Geography && !catalogue::share_geography(first, name) {
            return Err(format!(
                "{first} and {name} are not in one geography, as aws.residency demands"
            ));
        }
        catalogue::target_in(target, name, &model.facts, residency)
    }

    /// Returns `model` at `target`.
    fn place(&self, model: &Model, target: Target, has_price: bool) -> Arc<Model> {
        let mut place = model.clone();
        let known = catalogue::lookup(&target);
        if !has_price && known.base.is_some() {
            place.price = known.price;
        }
        place.targets.weight = self.weights.get(&target.region).copied().unwrap_or(1);
        place.targets.first = Arc::new(target);
        Arc::new(place)
    }
}
