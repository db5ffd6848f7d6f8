//! Input that grows after its cost was reserved: masks of a guardrail can be longer than what they cover, and
//! a tokenizer may expand passages.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use super::refusal;
use crate::{
    call::{Call, Caller},
    error::Error,
    governance::Hold,
    money::{NanoUsd, Price, WorstCase},
    operation::Operation,
};

/// Extends the hold of a call whose input grows.
pub struct Growth {
    hold: Weak<Hold>,
    caller: Arc<Caller>,
    price: Option<Arc<Price>>,
    worst: WorstCase,
    /// The client's limit, `max_cost_usd`.
    max_cost: Option<NanoUsd>,
    advice: &'static str,
    /// The cost of all growth, in nano-dollars.
    pub reserved: Arc<AtomicU64>,
}

impl Growth {
    /// Creates the growth of `call`, which `hold` does not cover yet.
    pub fn new<T: Operation>(call: &Call<T>, hold: Weak<Hold>) -> Self {
        Self {
            hold,
            caller: call.caller.clone(),
            price: call.model.price.clone(),
            worst: call.plan.worst,
            max_cost: call.body.max_cost(),
            advice: call.body.cost_advice(),
            reserved: Arc::default(),
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
        let before = NanoUsd(self.reserved.load(Ordering::Relaxed));
        if let Some(max) = self.max_cost {
            let most = price.and_then(|price| self.worst.cost(price));
            refusal::within(max, most.map(|most| most + before + more), self.advice)?;
        }
        let extension = self.hold.upgrade().map(|hold| hold.extend(more, more));
        let is_granted = match extension {
            Some(extension) => extension.await,
            None => false,
        };
        if !is_granted {
            return Err(refusal::growth(&self.caller, more));
        }
        self.reserved.fetch_add(more.0, Ordering::Relaxed);
        Ok(())
    }
}
