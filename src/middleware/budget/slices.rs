//! Reservations that grow with the output of a stream.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;

use crate::{
    call::Call,
    governance::Hold,
    money::{NanoUsd, PicoUsd},
    operation::OutputLimit,
};

/// The output that is reserved at a time, in tokens per answer.
const SLICE: u64 = 2000;

/// The smallest output that is reserved at a time, in tokens per answer.
const MIN_SLICE: u64 = 50;

/// Returns the reservation before a stream begins: all of its input, the most that reranking and guardrails can cost, and a slice of
/// each answer. `None` if a price is unknown, or the client does not see all output as it arrives.
pub fn of<T>(call: &Call<T>) -> Option<NanoUsd> {
    let worst = &call.plan.worst;
    let price = call.model.price.as_deref().filter(|_| call.plan.visible)?;
    let one = worst.cost_of_one(price, SLICE.min(worst.output_tokens))?;
    let requests = u64::from(worst.requests.max(1));
    Some(NanoUsd(one.0.saturating_mul(requests)) + worst.all_fees())
}

/// Extends the hold of one call slice by slice. The next slice is requested before the last is used up, because a ledger on
/// the network cannot answer at once.
pub struct Slices {
    hold: Weak<Hold>,
    /// The price of output, and of the guardrail that evaluates it in the call.
    price: PicoUsd,
    answers: u64,
    /// The reserved output of all answers, in tokens.
    covered: u64,
    /// The output of all answers that is reserved next, in tokens.
    step: u64,
    /// The most output of all answers, in tokens.
    most: u64,
    /// A request ahead of time was denied. The next one is made when there is no output left.
    is_tight: bool,
    /// The extension that was requested.
    pending: Option<BoxFuture<'static, bool>>,
    denied: Arc<AtomicBool>,
}

impl Slices {
    /// Creates the slices of `call`, whose `hold` covers the first. `denied` is set if the stream has to end. `None` if a
    /// price is unknown.
    pub fn new<T>(hold: Weak<Hold>, call: &Call<T>, denied: Arc<AtomicBool>) -> Option<Self> {
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
            price: PicoUsd(output.0.saturating_add(worst.guardrail.per_output_token.0)),
            answers,
            covered: step.min(most),
            step,
            most,
            is_tight: false,
            pending: None,
            denied,
        })
    }

    /// Polls the extension under way, or requests one. Returns whether it was granted.
    fn poll_extension(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let (hold, more) = (&self.hold, self.price.times(self.step));
        let extend = || -> BoxFuture<'static, bool> {
            match hold.upgrade() {
                Some(hold) => Box::pin(hold.extend(NanoUsd::default(), more)),
                None => Box::pin(std::future::ready(false)),
            }
        };
        let pending = self.pending.get_or_insert_with(extend);
        let granted = ready!(pending.as_mut().poll(cx));
        self.pending = None;
        self.is_tight = !granted;
        if granted {
            self.covered += self.step;
        }
        Poll::Ready(granted)
    }
}

impl OutputLimit for Slices {
    fn poll_output(&mut self, cx: &mut Context<'_>, tokens: u64) -> Poll<bool> {
        loop {
            let is_covered = tokens <= self.covered || self.covered >= self.most;
            let left = self.covered.saturating_sub(tokens);
            let asks_ahead = !self.is_tight && left <= self.step / 2 && self.covered < self.most;
            if is_covered && !asks_ahead {
                return Poll::Ready(true);
            }
            match self.poll_extension(cx) {
                Poll::Ready(true) => {}
                // Only asked ahead of time: the output so far is covered.
                Poll::Ready(false) | Poll::Pending if is_covered => return Poll::Ready(true),
                Poll::Pending => return Poll::Pending,
                // A smaller slice may still fit into the budget.
                Poll::Ready(false) if self.step / 2 >= MIN_SLICE * self.answers => self.step /= 2,
                Poll::Ready(false) => {
                    self.denied.store(true, Ordering::Relaxed);
                    return Poll::Ready(false);
                }
            }
        }
    }
}
