//! Where a model is called: its targets, and how one of them is chosen.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::Model;
use crate::money::Price;

/// The address of a model on Bedrock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A Bedrock model id, inference profile id or ARN, as it goes into the path.
    pub id: String,
    pub region: String,
    /// The name of another account that is called, of `[aws.accounts]`. If `None`, the gateway's own.
    pub account: Option<Arc<str>>,
}

impl Target {
    /// Creates a target. The region of an ARN takes precedence over `region`, because a resource can only be called in
    /// its own region.
    pub fn new(id: impl Into<String>, region: &str) -> Self {
        let id = id.into();
        let own = id
            .strip_prefix("arn:")
            .and_then(|rest| rest.split(':').nth(2))
            .filter(|r| !r.is_empty());
        let region = own.unwrap_or(region).to_owned();
        Self {
            id,
            region,
            account: None,
        }
    }

    /// Returns where the target is: its region, or `ACCOUNT/REGION`.
    pub fn place(&self) -> Cow<'_, str> {
        match &self.account {
            None => Cow::Borrowed(&self.region),
            Some(account) => Cow::Owned(format!("{account}/{}", self.region)),
        }
    }

    /// Reports whether the target is a managed prompt, which brings its own text, model and limits.
    pub fn is_prompt(&self) -> bool {
        self.id.starts_with("arn:") && self.id.contains(":prompt/")
    }

    /// Returns the ARN of the foundation model `id` in the region of the target. An `id` that is an ARN is returned
    /// unchanged.
    pub fn model_arn(&self, id: &str) -> String {
        if id.starts_with("arn:") {
            return id.to_owned();
        }
        let partition = match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if self.region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let region = &self.region;
        format!("arn:{partition}:bedrock:{region}::foundation-model/{id}")
    }

    /// Reports whether the target is a model with the account's own weights.
    pub fn is_imported(&self) -> bool {
        self.id.starts_with("arn:") && self.id.contains(":imported-model/")
    }

    /// Returns the id if clients may see it. An ARN contains the operator's account id and is not shown.
    pub fn shown(&self) -> Option<&str> {
        (!self.id.starts_with("arn:")).then_some(&self.id)
    }
}

/// The targets of a model.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The preferred target.
    pub first: Arc<Target>,
    /// The model at each of its targets, in order of preference, each with the price there. Empty if there is one target
    /// only.
    pub places: Arc<[Arc<Model>]>,
    /// The index of this model among `places`.
    pub place: usize,
    pub strategy: Strategy,
    /// How long a call waits if it fits nowhere by the estimate of [`Strategy::Headroom`]. `None` if it is rejected at once.
    pub queue: Option<Duration>,
    /// The share of calls that begin here, relative to the other places.
    pub weight: u32,
}

/// How the first target of a call is chosen among the healthy ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The first in the configured order.
    #[default]
    Ordered,
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest requests in flight, relative to its weight.
    LeastInFlight,
    /// The one with the most left of its quota of tokens, as far as that is known.
    Headroom,
}

impl Targets {
    /// Creates a list of one target.
    pub fn one(target: Target) -> Self {
        Self {
            first: Arc::new(target),
            places: Arc::default(),
            place: 0,
            strategy: Strategy::default(),
            queue: None,
            weight: 1,
        }
    }

    /// Iterates over the targets, in order of preference.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        let alone = self.places.is_empty().then_some(&self.first);
        let others = self.places.iter().map(|place| place.target());
        alone.into_iter().chain(others)
    }
}

impl Model {
    /// Returns this model with `places`, the same model at each of its targets, the preferred one first. Its price covers
    /// all of them, so that a reservation suffices wherever the call is answered.
    #[must_use]
    pub fn with_places(mut self, places: Vec<Arc<Self>>) -> Self {
        let Some(first) = places.first() else {
            return self;
        };
        self.targets.first = first.target().clone();
        let prices = places.iter().map(|place| place.price.as_ref());
        self.price = prices.collect::<Option<Vec<_>>>().map(Price::ceiling);
        self.targets.places = match places.len() {
            1 => Arc::default(),
            _ => places.into(),
        };
        self
    }

    /// Returns the model at one of its places, which knows the others.
    #[must_use]
    pub fn at(&self, place: usize) -> Self {
        let here = self.targets.places.get(place);
        let mut here = here.map_or_else(|| self.clone(), |here| Self::clone(here));
        here.refused_betas.clone_from(&self.refused_betas);
        here.targets.places = self.targets.places.clone();
        here.targets.strategy = self.targets.strategy;
        here.targets.queue = self.targets.queue;
        here.targets.place = place;
        here
    }

    /// Returns the model at the place of `target`, or this model if there is no such place.
    pub fn served_by(&self, target: &Target) -> &Self {
        let places = self.targets.places.iter();
        places
            .map(|place| &**place)
            .find(|place| **place.target() == *target)
            .unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_of_an_arn_takes_precedence() {
        let target = Target::new(
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/x",
            "us-east-1",
        );
        assert_eq!(target.region, "eu-west-1");
        assert_eq!(
            Target::new("amazon.nova-lite-v1:0", "us-east-1").region,
            "us-east-1"
        );
    }
}
