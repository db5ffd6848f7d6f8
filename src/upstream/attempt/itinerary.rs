//! The targets of one request, and where it stands among them.

use std::{sync::Arc, time::Duration};

use super::{
    Subject,
    choice::Choice,
    health::{Fitness, Health, Permit},
    registry::Registry,
    retry_budget::RetryBudget,
};
use crate::model::{Model, Target};

/// A target that a request may be sent to.
pub struct Stop {
    pub target: Arc<Target>,
    pub health: Arc<Health>,
}

/// Where a request goes next.
pub struct Leg {
    pub permit: Permit,
    /// It is another place than before.
    pub has_moved: bool,
}

/// The targets of one request.
pub struct Itinerary<'a> {
    stops: Vec<Stop>,
    /// `None` if there is one target only.
    choice: Option<Choice<'a>>,
    at: usize,
    /// The places where the request was sent, as bits.
    tried: u32,
}

impl<'a> Itinerary<'a> {
    /// Creates the itinerary of a request that was prepared for the target of `subject`. `target` returns the target at a
    /// place.
    pub fn new(
        registry: &Registry,
        subject: Subject<'a>,
        target: impl Fn(&Model) -> Arc<Target>,
    ) -> Self {
        let choice = subject
            .targets
            .map(|targets| Choice::new(registry, targets, subject.label));
        let stops = match &choice {
            None => vec![Stop {
                target: subject.target.clone(),
                health: registry.of(subject.target, subject.label),
            }],
            Some(choice) => {
                let places = choice.places().iter().zip(&choice.healths);
                let stop = |(place, health): (&Arc<Model>, &Arc<Health>)| Stop {
                    target: target(place),
                    health: health.clone(),
                };
                places.map(stop).collect()
            }
        };
        let at = subject.targets.map_or(0, |targets| targets.place);
        Self {
            stops,
            choice,
            at,
            tried: 0,
        }
    }

    /// Where the request is sent now.
    pub fn stop(&self) -> &Stop {
        &self.stops[self.at]
    }

    /// The index of the place where the request is sent now.
    pub fn place(&self) -> usize {
        self.at
    }

    /// The budget that all retries of the model share, in all regions.
    pub fn budget(&self) -> &RetryBudget {
        &self.stops[0].health.budget
    }

    /// Returns the permit for the first request: at the place that it was prepared for, or at the next healthy one.
    ///
    /// # Errors
    /// The time until a target admits requests again, if none does.
    pub fn begin(&mut self) -> Result<Leg, Duration> {
        let prepared = self.at;
        let mut wait = match self.admit(self.at, false) {
            Ok(permit) => return Ok(self.leg(prepared, permit)),
            Err(wait) => wait,
        };
        // In the end, one request at a time finds out whether any of them works.
        for is_last_resort in [false, true] {
            for place in 0..self.stops.len() {
                match self.admit(place, is_last_resort) {
                    Ok(permit) => {
                        self.at = place;
                        return Ok(self.leg(prepared, permit));
                    }
                    Err(other) => wait = wait.min(other),
                }
            }
        }
        Err(wait)
    }

    /// Returns the best place where the request was not sent yet and `tokens` more fit by the estimate, with the permit for it.
    pub fn another(&self, tokens: u64) -> Option<(usize, Permit)> {
        let mut tried = self.tried;
        while let Some(place) = self.choice.as_ref()?.next(tried) {
            let headroom = &self.stops[place].health.headroom;
            let fits = tokens == 0 || headroom.wait_for(tokens).is_zero();
            if fits && let Ok(permit) = self.admit(place, false) {
                return Some((place, permit));
            }
            tried |= 1 << place;
        }
        None
    }

    /// Reports whether there is a healthy place where the request was not sent yet.
    pub fn has_another(&self) -> bool {
        let next = self
            .choice
            .as_ref()
            .and_then(|choice| choice.next(self.tried));
        next.is_some_and(|place| self.stops[place].health.fitness() < Fitness::Broken)
    }

    /// Sends the request to a place where it was not sent yet.
    pub fn move_to(&mut self, place: usize) {
        self.at = place;
        self.tried |= 1 << place;
    }

    /// Returns the permit to repeat the request, at the fittest of all places. `None` if none admits it.
    pub fn again(&mut self) -> Option<Leg> {
        let before = self.at;
        let fittest = self.choice.as_ref().and_then(|choice| choice.next(0));
        let place = fittest.unwrap_or(before);
        let permit = self.admit(place, true).ok()?;
        self.at = place;
        Some(self.leg(before, permit))
    }

    /// The time until one of the places does not demand to be left alone any more.
    pub fn demanded_rest(&self) -> Duration {
        let works = |stop: &&Stop| stop.health.fitness() < Fitness::Broken;
        let working = self.stops.iter().filter(works);
        let rests = working.map(|stop| stop.health.demanded_rest());
        // If none works, the first that is tried again decides.
        rests.min().unwrap_or_default()
    }

    fn admit(&self, place: usize, is_last_resort: bool) -> Result<Permit, Duration> {
        self.stops[place].health.admit(is_last_resort)
    }

    fn leg(&mut self, before: usize, permit: Permit) -> Leg {
        self.tried |= 1 << self.at;
        Leg {
            permit,
            has_moved: self.at != before,
        }
    }
}
