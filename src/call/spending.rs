use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::BoxFuture;

use crate::{
    error::Error,
    model::{Route, Target},
    money::{Cost, NanoUsd, Usage},
};

/// Decides whether a request that may have been billed can be repeated, with so many more tokens of input.
type AskBeforeRepeat = dyn Fn(u64) -> BoxFuture<'static, bool> + Send + Sync;

/// Records that the call moves to another route.
type AskBeforeReroute = dyn Fn(Route) -> BoxFuture<'static, bool> + Send + Sync;

/// Records that a request of the call is sent to a target.
type AskBeforeMove = dyn Fn(Arc<Target>) -> BoxFuture<'static, bool> + Send + Sync;

/// Reserves the cost of so many more tokens of input.
type AskBeforeGrowth = dyn Fn(u64) -> BoxFuture<'static, Result<(), Error>> + Send + Sync;

/// What a call is charged for what it has spent.
type Charge = dyn Fn(&Spend) -> Option<NanoUsd> + Send + Sync;

/// Accumulates the cost of a call's requests, so that the total is known however the call ends.
#[derive(Default)]
pub struct Spending {
    spend: Mutex<Spend>,
    repeat: OnceLock<Box<AskBeforeRepeat>>,
    reroute: OnceLock<Box<AskBeforeReroute>>,
    relocation: OnceLock<Box<AskBeforeMove>>,
    growth: OnceLock<Box<AskBeforeGrowth>>,
    charge: OnceLock<Box<Charge>>,
    /// What was charged for other models before.
    before: NanoUsd,
}

/// The total of all requests of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// The usage of the requests for which it is known or was estimated.
    pub usage: Option<Usage>,
    /// The number of requests whose usage the gateway estimated.
    pub estimated: u32,
    /// The part of the usage's cost that is estimated. The service reported the rest.
    pub estimated_cost: NanoUsd,
    /// The number of requests that the service answered with an error before any output. Their input may be billed.
    pub unanswered: u32,
    /// The number of requests that may be billed with an unknown usage.
    pub lost: u32,
    /// The cost of reranking, which the model's usage does not include.
    pub fees: NanoUsd,
    /// The price of some reranking is unknown.
    pub unpriced_fees: bool,
    /// The cost of guardrails that the gateway applied itself.
    pub guardrails: NanoUsd,
    /// The cost of some of these guardrails was not reported, and what was reserved is charged.
    pub presumed_guardrails: bool,
    /// The tokens that masks and passages added to the input of every request, at most.
    pub input_growth: u64,
    /// The requests that continued an answer, and the tokens that the answer so far added to their input, at most.
    pub continued: u32,
    pub continued_input: u64,
    /// The cost of calls that the gateway made for this one; they have records of their own.
    pub side_calls: Cost,
    /// The cost of some of these calls is unknown.
    pub unknown_side_calls: bool,
}

impl Spend {
    /// Reports whether the service told the usage of every request. Otherwise the call is charged more than what was counted:
    /// at least what was reserved for the input.
    pub fn is_reported(&self) -> bool {
        self.estimated == 0 && self.unanswered == 0 && self.lost == 0
    }

    /// Returns `usage` with the cost of reranking, guardrails and side calls added, as the client sees it. The cost is `None` if a
    /// part of it is unknown.
    fn with_side_costs(&self, usage: Usage) -> Usage {
        let known = !self.unpriced_fees && !self.unknown_side_calls;
        let more = self.side_calls
            + Cost {
                queries: self.fees,
                guardrails: self.guardrails,
                ..Cost::default()
            };
        Usage {
            cost: usage.cost.filter(|_| known).map(|cost| cost + more),
            ..usage
        }
    }
}

impl Spending {
    /// Adds the cost of reranking; `None` if its price is unknown.
    pub fn add_fee(&self, price: Option<NanoUsd>) {
        self.with(|spend| {
            spend.fees = spend.fees + price.unwrap_or_default();
            spend.unpriced_fees |= price.is_none();
        });
    }

    /// Creates the spending of a model that is called after others, which were charged `before`.
    pub fn after(before: NanoUsd) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// What was charged for other models before this one was called.
    pub fn charged_before(&self) -> NanoUsd {
        self.before
    }

    /// Adds the cost of a guardrail.
    pub fn add_guardrail(&self, cost: NanoUsd) {
        self.with(|spend| spend.guardrails = spend.guardrails + cost);
    }

    /// Adds the most that a guardrail can cost that did not report its cost.
    pub fn presume_guardrail(&self, most: NanoUsd) {
        self.with(|spend| {
            spend.guardrails = spend.guardrails + most;
            spend.presumed_guardrails = true;
        });
    }

    /// Adds a call that the gateway made for this one; `None` if its cost is unknown.
    pub fn add_side_call(&self, cost: Option<Cost>) {
        self.with(|spend| {
            spend.side_calls = spend.side_calls + cost.unwrap_or_default();
            spend.unknown_side_calls |= cost.is_none();
        });
    }

    /// Returns the total so far.
    pub fn total(&self) -> Spend {
        *self.spend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the function that says what the call is charged, without side calls. Only the first call has an effect.
    pub fn charge_by(&self, charge: impl Fn(&Spend) -> Option<NanoUsd> + Send + Sync + 'static) {
        let _ = self.charge.set(Box::new(charge));
    }

    /// Returns `usage` as the client is told: with the cost of reranking, guardrails and side calls, and what the ledger adds
    /// where the service did not report all usage.
    pub fn told(&self, usage: Usage) -> Usage {
        let spend = self.total();
        let mut told = spend.with_side_costs(usage);
        let charge = self.charge.get().filter(|_| !spend.is_reported());
        if let Some(cost) = &mut told.cost
            && let Some(charged) = charge.and_then(|charge| charge(&spend))
        {
            let charged = charged + spend.side_calls.total();
            let more = charged.0.saturating_sub(cost.total().0);
            // It is the reserved input.
            cost.input = cost.input + NanoUsd(more);
        }
        if let Some(cost) = &mut told.cost {
            cost.input = cost.input + self.before;
        }
        told
    }

    /// Sets the function that decides whether a request that may have been billed can be repeated, with so many more tokens
    /// of input. Only the first call has an effect.
    pub fn ask_before_repeat(
        &self,
        ask: impl Fn(u64) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) {
        let _ = self.repeat.set(Box::new(ask));
    }

    /// Reports whether a request that may have been billed can be repeated.
    pub async fn may_repeat(&self) -> bool {
        // One that continues an answer has longer input.
        self.may_send(self.total().continued_input).await
    }

    /// Reports whether another request can continue an answer, which adds `tokens` to its input.
    pub async fn may_continue(&self, tokens: u64) -> bool {
        let may_send = self.may_send(tokens).await;
        self.with(|spend| spend.continued += u32::from(may_send));
        may_send
    }

    /// Reports whether another request can be sent with `tokens` more input than the first.
    async fn may_send(&self, tokens: u64) -> bool {
        if let Some(ask) = self.repeat.get()
            && !ask(tokens).await
        {
            return false;
        }
        self.with(|spend| {
            spend.continued_input = spend.continued_input.saturating_add(tokens);
        });
        true
    }

    /// Sets the function that records that the call moves to another route. Only the first call has an effect.
    pub fn ask_before_reroute(
        &self,
        ask: impl Fn(Route) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) {
        let _ = self.reroute.set(Box::new(ask));
    }

    /// Reports whether the call can move to `route`, after its record says so.
    pub async fn may_reroute(&self, route: Route) -> bool {
        match self.reroute.get() {
            Some(ask) => ask(route).await,
            None => true,
        }
    }

    /// Sets the function that records that a request is sent to another target. Only the first call has an effect.
    pub fn ask_before_move(
        &self,
        ask: impl Fn(Arc<Target>) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) {
        let _ = self.relocation.set(Box::new(ask));
    }

    /// Reports whether a request can be sent to `target`, after the record of the call says so.
    pub async fn may_send_to(&self, target: &Arc<Target>) -> bool {
        match self.relocation.get() {
            Some(ask) => ask(target.clone()).await,
            None => true,
        }
    }

    /// Sets the function that reserves the cost of more input in every request, in tokens. Only the first call has an
    /// effect.
    pub fn ask_before_growth(
        &self,
        ask: impl Fn(u64) -> BoxFuture<'static, Result<(), Error>> + Send + Sync + 'static,
    ) {
        let _ = self.growth.set(Box::new(ask));
    }

    /// Reserves the cost of `tokens` more input in every request.
    ///
    /// # Errors
    /// If the call must not cost more.
    pub async fn reserve_growth(&self, tokens: u64) -> Result<(), Error> {
        if tokens == 0 {
            return Ok(());
        }
        if let Some(ask) = self.growth.get() {
            ask(tokens).await?;
        }
        self.with(|spend| spend.input_growth = spend.input_growth.saturating_add(tokens));
        Ok(())
    }

    pub(super) fn with(&self, change: impl FnOnce(&mut Spend)) {
        change(&mut self.spend.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.total().fmt(f)
    }
}
