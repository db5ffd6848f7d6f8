//! Cost that arises after the reservation: masks of a guardrail can be longer than what they cover, a tokenizer may expand
//! passages, and a request that may have been billed can be repeated.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use super::{max_cost, refusal};
use crate::{
    call::{Call, Caller},
    error::Error,
    governance::Hold,
    money::{NanoUsd, Price, WorstCase},
    operation::Operation,
};

/// Extends the hold of a call that may cost more than was reserved.
pub struct Growth {
    hold: Weak<Hold>,
    caller: Arc<Caller>,
    price: Option<Arc<Price>>,
    worst: WorstCase,
    /// The client's limit, `max_cost_usd`.
    max_cost: Option<NanoUsd>,
    advice: &'static str,
    /// The cost of longer input, in nano-dollars.
    grown: AtomicU64,
    /// The cost of longer input and repeated requests, in nano-dollars.
    added: AtomicU64,
}

impl Growth {
    /// Creates the growth of `call`, which `hold` does not cover yet.
    pub fn new<T: Operation>(call: &Call<T>, hold: Weak<Hold>) -> Self {
        Self {
            hold,
            caller: call.caller.clone(),
            price: call.model.price.clone(),
            worst: call.plan.worst,
            max_cost: max_cost(call),
            advice: call.body.cost_advice(),
            grown: AtomicU64::new(0),
            added: AtomicU64::new(0),
        }
    }

    /// Reserves the cost of `tokens` more input in every request.
    ///
    /// # Errors
    /// If the client's limit or a budget does not admit it.
    pub async fn reserve(self: Arc<Self>, tokens: u64) -> Result<(), Error> {
        // A call of unknown price was admitted without a limit.
        let price = self.price.as_deref();
        let more = price.and_then(|price| self.worst.cost_of_growth(price, tokens));
        let Some(more) = more else {
            return Ok(());
        };
        self.check_limit(more)?;
        if !self.extend(more).await {
            return Err(refusal::growth(&self.caller, more));
        }
        self.grown.fetch_add(more.0, Ordering::Relaxed);
        Ok(())
    }

    /// Reserves the cost of one more request, with `tokens` more input than the others. Returns false if the client's limit
    /// or a budget does not admit it.
    pub async fn repeat(self: Arc<Self>, tokens: u64) -> bool {
        let worst = WorstCase {
            input_tokens: self.worst.input_tokens.saturating_add(tokens),
            ..self.worst
        };
        let one = self
            .price
            .as_deref()
            .and_then(|price| worst.cost_of_one(price, worst.output_tokens));
        let one = one.unwrap_or_default() + NanoUsd(self.grown.load(Ordering::Relaxed));
        self.check_limit(one).is_ok() && self.extend(one).await
    }

    /// Adds `more` to the cost of the call, unless the client's limit does not admit it.
    fn check_limit(&self, more: NanoUsd) -> Result<(), Error> {
        let before = NanoUsd(self.added.fetch_add(more.0, Ordering::Relaxed));
        let Some(max) = self.max_cost else {
            return Ok(());
        };
        let price = self.price.as_deref();
        let most = price.and_then(|price| self.worst.cost(price));
        let most = most.map(|most| most + before + more);
        refusal::within(max, most, self.advice).inspect_err(|_| {
            self.added.fetch_sub(more.0, Ordering::Relaxed);
        })
    }

    async fn extend(&self, more: NanoUsd) -> bool {
        let extension = self.hold.upgrade().map(|hold| hold.extend(more, more));
        match extension {
            Some(extension) => extension.await,
            None => false,
        }
    }
}
