//! Chooses the target of a request among those of its model.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{
    health::{Fitness, Health},
    registry::Registry,
};
use crate::model::{Model, Strategy, Targets};

/// A quota of tokens per minute that stands for one that is unknown, while all are.
const UNKNOWN_QUOTA: f64 = 1e6;

/// A place is slow if its first tokens take so many times as long as those of the fastest, and so much longer. Under
/// `headroom`, it is used only if the others are full.
const SLOW_FACTOR: u32 = 2;
const SLOW_LEAST: Duration = Duration::from_millis(500);

/// The places of a model, and their health.
pub struct Choice<'a> {
    targets: &'a Targets,
    pub healths: Vec<Arc<Health>>,
}

impl<'a> Choice<'a> {
    /// Looks up the health of each target.
    pub fn new(registry: &Registry, targets: &'a Targets, label: &str) -> Self {
        let healths = targets.iter().map(|target| registry.of(target, label));
        Self {
            targets,
            healths: healths.collect(),
        }
    }

    /// The model at each place.
    pub fn places(&self) -> &'a [Arc<Model>] {
        &self.targets.places
    }

    /// Returns the place where a new call begins. Calls with the same `affinity` begin at the same place while its health
    /// does not change. `tokens` are those that AWS admits the call with.
    pub fn start(&self, affinity: Option<u64>, tokens: u64) -> usize {
        let count = self.healths.len();
        let preferred = match (self.targets.strategy, affinity) {
            (Strategy::Ordered, _) => return self.fittest(|place| place as f64),
            (_, Some(affinity)) => {
                return self.fittest(|place| -> f64 { self.distance(affinity, place) });
            }
            (Strategy::LeastInFlight, None) => {
                return self.fittest(|place| {
                    f64::from(self.healths[place].in_flight() + 1) / f64::from(self.weight(place))
                });
            }
            (Strategy::Headroom, None) => {
                let shares = self.shares(tokens);
                return self.fittest(|place| shares[place]);
            }
            (Strategy::RoundRobin, None) => self.in_turn(),
        };
        self.fittest(|place| ((place + count - preferred) % count) as f64)
    }

    /// Returns the time until a call of `tokens` fits into the quota of a target. Zero if it does now, or if the answer is
    /// unknown for one of them.
    pub fn wait_for(&self, tokens: u64) -> Duration {
        let working = self.working();
        let waits = working.map(|place| self.healths[place].headroom.wait_for(tokens));
        waits.min().unwrap_or_default()
    }

    /// Returns the time until one of the targets need not be left alone any more.
    pub fn rest(&self) -> Duration {
        let rests = self.working().map(|place| self.healths[place].rest_left());
        rests.min().unwrap_or_default()
    }

    /// Returns the place that is to find out whether its quota is larger than estimated, if that is due at one.
    pub fn probe(&self) -> Option<usize> {
        let mut working = self.working();
        working.find(|place| self.healths[*place].headroom.probe())
    }

    /// The places whose breakers are not open.
    fn working(&self) -> impl Iterator<Item = usize> {
        let places = 0..self.healths.len();
        places.filter(|place| self.healths[*place].fitness() < Fitness::Broken)
    }

    /// Returns the place, among those that `tried` does not have, where a request that failed elsewhere is sent.
    pub fn next(&self, tried: u32) -> Option<usize> {
        let least_busy = self.targets.strategy == Strategy::LeastInFlight;
        let places = (0..self.healths.len()).filter(|place| tried & (1 << place) == 0);
        places.min_by_key(|place| {
            let health = &self.healths[*place];
            let load = if least_busy { health.in_flight() } else { 0 };
            (health.fitness(), load, *place)
        })
    }

    /// Returns the fittest place; of several, the one of the lowest `rank`.
    fn fittest(&self, rank: impl Fn(usize) -> f64) -> usize {
        let places = 0..self.healths.len();
        let fittest = places.min_by(|one, other| {
            let fitness = |place: usize| self.healths[place].fitness();
            fitness(*one)
                .cmp(&fitness(*other))
                .then_with(|| rank(*one).total_cmp(&rank(*other)))
        });
        fittest.unwrap_or_default()
    }

    fn weight(&self, place: usize) -> u32 {
        let place = self.targets.places.get(place);
        place.map_or(1, |place| place.targets.weight.max(1))
    }

    fn in_turn(&self) -> usize {
        let weights = (0..self.healths.len()).map(|place| u64::from(self.weight(place)));
        let all: u64 = weights.clone().sum();
        let mut turn = self.healths[0].turn() % all.max(1);
        for (place, weight) in weights.enumerate() {
            match turn.checked_sub(weight) {
                Some(rest) => turn = rest,
                None => return place,
            }
        }
        0
    }

    /// The share of its quota that each place will have used with `tokens` more. A quota that is unknown is taken to be as
    /// large as the largest that is known.
    fn shares(&self, tokens: u64) -> Vec<f64> {
        let quotas = self.healths.iter().map(|health| health.headroom.quota());
        let quotas: Vec<_> = quotas.collect();
        let known = quotas.iter().flatten().copied().fold(0.0, f64::max);
        let largest = if known > 0.0 { known } else { UNKNOWN_QUOTA };
        let fastest = self
            .healths
            .iter()
            .filter_map(|health| health.first_token());
        let fastest = fastest.min();
        let share = |(place, health): (usize, &Arc<Health>)| {
            let quota = quotas[place].unwrap_or(largest * f64::from(self.weight(place)));
            let used = health.headroom.used() + tokens as f64;
            let own = health.first_token();
            let is_slow = own.zip(fastest).is_some_and(|(own, fastest)| {
                own > fastest * SLOW_FACTOR && own > fastest + SLOW_LEAST
            });
            let is_full = !health.headroom.wait_for(tokens).is_zero();
            used / quota + if is_slow { 1.0 } else { 0.0 } + if is_full { 2.0 } else { 0.0 }
        };
        self.healths.iter().enumerate().map(share).collect()
    }

    /// Rendezvous hashing with weights: the nearest place is the same for every replica, and when one is lost, only its
    /// calls move.
    fn distance(&self, affinity: u64, place: usize) -> f64 {
        let target = self.targets.places[place].target();
        let mut hasher = DefaultHasher::new();
        (affinity, &target.region, &target.id).hash(&mut hasher);
        // 53 bits, as many as the fraction of a float has.
        let uniform = ((hasher.finish() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -uniform.ln() / f64::from(self.weight(place))
    }
}

#[cfg(test)]
mod tests;
