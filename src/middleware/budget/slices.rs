//! Holds that grow with the answer.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use crate::{
    call::Call,
    governance::Hold,
    money::{NanoUsd, PicoUsd, Price, WorstCase},
    operation::OutputLimit,
};

/// Output that is reserved at a time, in tokens of each answer.
const SLICE: u64 = 2000;

/// The smallest part of a slice that is worth its while, in tokens of each answer.
const MIN_SLICE: u64 = 50;

/// What is reserved before a stream begins: all of its input, the most that reranking can cost, and
/// a slice of each answer. `None` if no price is known.
pub fn first(worst: &WorstCase, price: Option<&Price>) -> Option<NanoUsd> {
    let one = worst.cost_of_one(price?, SLICE.min(worst.output_tokens))?;
    let requests = u64::from(worst.requests.max(1));
    Some(NanoUsd(one.0.saturating_mul(requests)) + worst.fees)
}

/// The slices of one call that are still to come.
#[derive(Clone)]
pub struct Slices {
    hold: Weak<Hold>,
    /// Of one token of output.
    price: PicoUsd,
    answers: u64,
    /// Output of all answers that is reserved, in tokens.
    covered: u64,
    step: u64,
    /// The most that may ever come, in tokens.
    most: u64,
    denied: Arc<AtomicBool>,
}

impl Slices {
    pub fn new<T>(hold: Weak<Hold>, call: &Call<T>) -> Option<Self> {
        let worst = &call.plan.worst;
        let (_, output) = call
            .model
            .price
            .as_deref()?
            .dearest(worst.tier, worst.may_cache)?;
        let answers = u64::from(worst.requests.max(1));
        let step = SLICE * answers;
        let most = worst.output_tokens.saturating_mul(answers);
        Some(Self {
            hold,
            price: output,
            answers,
            covered: step.min(most),
            step,
            most,
            denied: Arc::default(),
        })
    }

    /// The stream was ended because a budget had no more.
    pub fn were_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    /// Reserves until there is money for `tokens` of output in all. False if there is none.
    fn cover(&mut self, tokens: u64) -> bool {
        while tokens > self.covered && self.covered < self.most {
            let more = self.price.times(self.step);
            let hold = self.hold.upgrade();
            if hold.is_some_and(|hold| hold.extend(NanoUsd::default(), more)) {
                self.covered += self.step;
            } else if self.step / 2 >= MIN_SLICE * self.answers {
                // The last money goes in smaller pieces.
                self.step /= 2;
            } else {
                return false;
            }
        }
        true
    }
}

impl OutputLimit for Slices {
    fn poll_output(&mut self, _: &mut Context<'_>, tokens: u64) -> Poll<bool> {
        let covered = self.cover(tokens);
        self.denied.fetch_or(!covered, Ordering::Relaxed);
        Poll::Ready(covered)
    }
}
