//! Reservations that grow with the output of a stream.

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

/// The output that is reserved at a time, in tokens per answer.
const SLICE: u64 = 2000;

/// The smallest output that is reserved at a time, in tokens per answer.
const MIN_SLICE: u64 = 50;

/// Returns the reservation before a stream begins: all of its input, the most that reranking and guardrails can cost, and a slice of
/// each answer. `None` if a price is unknown.
pub fn first(worst: &WorstCase, price: Option<&Price>) -> Option<NanoUsd> {
    let one = worst.cost_of_one(price?, SLICE.min(worst.output_tokens))?;
    let requests = u64::from(worst.requests.max(1));
    Some(NanoUsd(one.0.saturating_mul(requests)) + worst.all_fees())
}

/// Extends the hold of one call slice by slice.
#[derive(Clone)]
pub struct Slices {
    hold: Weak<Hold>,
    /// The price of output.
    price: PicoUsd,
    answers: u64,
    /// The reserved output of all answers, in tokens.
    covered: u64,
    /// The output of all answers that is reserved next, in tokens.
    step: u64,
    /// The most output of all answers, in tokens.
    most: u64,
    denied: Arc<AtomicBool>,
}

impl Slices {
    /// Creates the slices of `call`, whose `hold` covers the first. `None` if a price is unknown.
    pub fn new<T>(hold: Weak<Hold>, call: &Call<T>) -> Option<Self> {
        let worst = &call.plan.worst;
        let (_, output) = call
            .model
            .price
            .as_deref()?
            .highest(worst.tier, worst.may_cache)?;
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

    /// Reports whether the stream was ended because a budget was spent.
    pub fn were_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    /// Extends the hold until it covers `tokens` of output. Returns false if a budget does not allow that.
    fn cover(&mut self, tokens: u64) -> bool {
        while tokens > self.covered && self.covered < self.most {
            let more = self.price.times(self.step);
            let hold = self.hold.upgrade();
            if hold.is_some_and(|hold| hold.extend(NanoUsd::default(), more)) {
                self.covered += self.step;
            } else if self.step / 2 >= MIN_SLICE * self.answers {
                // A smaller slice may still fit into the budget.
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
