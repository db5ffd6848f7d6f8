//! The health of all targets, and its report.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use quick_cache::sync::Cache;

use super::{breaker::State, health::Health};
use crate::{
    metrics,
    model::{Model, RAW_LABEL, Target},
};

/// Number of targets that are remembered. Bounded because clients may send raw model ids.
const CAPACITY: usize = 1000;

/// The health of all targets. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    /// By place and id.
    targets: Cache<String, Arc<Health>>,
    /// The place and the model of each target that the configuration has, whose state is exported.
    configured: Mutex<BTreeSet<(String, String)>>,
}

/// The health of a target for one of its models, as it is reported.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TargetHealth {
    pub model: String,
    pub region: String,
    pub state: &'static str,
    pub in_flight: u32,
    /// Other models with the same target, which have part in its breaker and its load.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_with: Vec<String>,
}

impl TargetHealth {
    /// Reports whether the target is used as usual.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed.as_str()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self(Arc::new(Inner {
            targets: Cache::new(CAPACITY),
            configured: Mutex::default(),
        }))
    }
}

impl Registry {
    /// Returns the health of `target`. `label` is the `model` label of metrics.
    pub fn of(&self, target: &Target, label: &str) -> Arc<Health> {
        let key = format!("{} {}", target.place(), target.id);
        let new = || Ok::<_, Infallible>(Arc::new(Health::new(target)));
        let health = self.0.targets.get_or_insert_with(&key, new);
        let health = health.unwrap_or_else(|never| match never {});
        health.add_label(label);
        health
    }

    /// Reports the health of every known target, in the order of models and regions.
    pub fn report(&self) -> Vec<TargetHealth> {
        let targets = self.0.targets.iter();
        let mut all: Vec<_> = targets.flat_map(|(_, health)| health.report()).collect();
        all.sort_by(|one, other| (&one.model, &one.region).cmp(&(&other.model, &other.region)));
        all
    }

    /// Exports the state of each target of `models`, the configured ones, and forgets what the configuration no longer has.
    /// Targets of raw ids stay.
    pub fn track<'a>(&self, models: impl Iterator<Item = &'a Arc<Model>> + Clone) {
        let each = || {
            let models = models.clone();
            models.flat_map(|model| model.targets.iter().map(move |target| (model, target)))
        };
        let known: Vec<_> = self.0.targets.iter().collect();
        for (key, health) in known {
            let is_left = health.keep_labels(|label| {
                let is_own = |(model, target): (&Arc<Model>, &Arc<Target>)| {
                    model.label() == label && health.is_of(target)
                };
                label == RAW_LABEL || each().any(is_own)
            });
            if !is_left {
                self.0.targets.remove(&key);
            }
        }
        let pair = |(model, target): (&Arc<Model>, &Arc<Target>)| {
            (target.place().into_owned(), model.label().to_owned())
        };
        let now: BTreeSet<_> = each().map(pair).collect();
        let mut configured = self.lock();
        for (place, label) in configured.difference(&now) {
            metrics::breaker_gone(place, label);
        }
        for (place, label) in now.difference(&configured) {
            metrics::breaker_state(place, label, State::Closed.as_str());
        }
        *configured = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, String)>> {
        let configured = self.0.configured.lock();
        configured.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, id: &str) -> Arc<Model> {
        Arc::new(Model::new(name, Target::new(id, "us-east-1")))
    }

    #[test]
    fn models_with_one_target_share_its_health_and_the_report_says_so() {
        let registry = Registry::default();
        let (one, other) = (model("one", "a.b"), model("other", "a.b"));
        let health = registry.of(one.target(), one.label());
        assert!(Arc::ptr_eq(
            &health,
            &registry.of(other.target(), other.label())
        ));
        let report = registry.report();
        let shared: Vec<_> = report
            .iter()
            .map(|target| (target.model.as_str(), target.shared_with.join(",")))
            .collect();
        let expected = [("one", "other".to_owned()), ("other", "one".to_owned())];
        assert_eq!(shared, expected);
    }

    #[test]
    fn targets_that_a_reload_removes_are_forgotten() {
        let registry = Registry::default();
        let (kept, gone) = (model("kept", "a.b"), model("gone", "a.b"));
        let (moved, raw) = (model("moved", "a.old"), Target::new("a.raw", "us-east-1"));
        for model in [&kept, &gone, &moved] {
            registry.of(model.target(), model.label());
        }
        // A bare id that is called by its profile.
        let profile = Target::new("us.a.b", "us-east-1");
        registry.of(&profile, "kept");
        registry.of(&raw, RAW_LABEL);
        let moved = model("moved", "a.new");
        registry.track([&kept, &moved].into_iter());
        let names: Vec<_> = registry.report().into_iter().map(|one| one.model).collect();
        assert_eq!(names, ["kept", "kept", RAW_LABEL]);
    }
}
