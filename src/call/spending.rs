use std::sync::{Mutex, OnceLock, PoisonError};

use super::Trace;
use crate::money::{Cost, NanoUsd, Usage};

/// What a call has cost so far, request by request, so that nothing is forgotten however it ends.
#[derive(Default)]
pub struct Spending {
    spend: Mutex<Spend>,
    repeat: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// The sum of all requests of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Of the requests whose usage is known or was estimated.
    pub usage: Option<Usage>,
    /// Requests whose usage the gateway estimated.
    pub estimated: u32,
    /// Requests that may be on the bill with an unknown usage.
    pub lost: u32,
    /// At least one request was sent.
    pub sent: bool,
    /// The cost of reranking, which the model's usage does not include.
    pub fees: NanoUsd,
    /// Some of it has no known price.
    pub unpriced_fees: bool,
    /// The cost of calls that the gateway made for this one; they have records of their own.
    pub side_calls: Cost,
    /// Some of them have no known cost.
    pub unknown_side_calls: bool,
}

impl Spend {
    /// `usage` with everything that the call cost beside the model, as the client sees it.
    pub fn with_side_costs(&self, usage: Usage) -> Usage {
        let known = !self.unpriced_fees && !self.unknown_side_calls;
        let more = self.side_calls
            + Cost {
                reranking: self.fees,
                ..Cost::default()
            };
        Usage {
            cost: usage.cost.filter(|_| known).map(|cost| cost + more),
            ..usage
        }
    }
}

impl Spending {
    pub(super) fn sent(&self) {
        self.with(|spend| spend.sent = true);
    }

    /// Adds something that is billed by itself; `None` if its price is unknown.
    pub fn fee(&self, price: Option<NanoUsd>) {
        self.with(|spend| {
            spend.fees = spend.fees + price.unwrap_or_default();
            spend.unpriced_fees |= price.is_none();
        });
    }

    /// Adds a call that the gateway made for this one; `None` if its cost is unknown.
    pub fn side_call(&self, cost: Option<Cost>) {
        self.with(|spend| {
            spend.side_calls = spend.side_calls + cost.unwrap_or_default();
            spend.unknown_side_calls |= cost.is_none();
        });
    }

    /// The sum so far.
    pub fn total(&self) -> Spend {
        *self.spend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets who decides whether a request that may be on the bill is repeated. Only the first
    /// setting counts.
    pub fn ask_before_repeat(&self, ask: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.repeat.set(Box::new(ask));
    }

    /// Reports whether a lost request may be made again.
    pub fn may_repeat(&self) -> bool {
        self.repeat.get().is_none_or(|ask| ask())
    }

    fn with(&self, change: impl FnOnce(&mut Spend)) {
        change(&mut self.spend.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.total().fmt(f)
    }
}

/// One request to Bedrock.
#[derive(Debug)]
pub struct Ticket {
    trace: Option<Trace>,
}

impl Ticket {
    pub(super) fn new(trace: Trace) -> Self {
        Self { trace: Some(trace) }
    }

    /// The service refused the request or never received it: it is not on the bill.
    pub fn free(mut self) {
        self.trace = None;
    }

    /// The request is on the bill with this usage.
    pub fn used(mut self, usage: Usage) {
        if let Some(trace) = self.trace.take() {
            trace.spending().with(|spend| {
                spend.usage = Some(spend.usage.map_or(usage, |before| before + usage));
                spend.estimated += u32::from(usage.estimated);
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(trace) = self.trace.take() {
            trace.spending().with(|spend| spend.lost += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_accounted_for() {
        let trace = Trace::default();
        assert_eq!(trace.spending().total(), Spend::default());
        let usage = Usage {
            input: 1,
            output: 2,
            ..Usage::default()
        };
        trace.ticket().free();
        trace.ticket().used(usage);
        trace.ticket().used(usage);
        drop(trace.ticket());
        let spend = trace.spending().total();
        assert_eq!(
            (spend.usage.unwrap().output, spend.lost, spend.sent),
            (4, 1, true)
        );
        assert!(trace.spending().may_repeat());
        trace.spending().ask_before_repeat(|| false);
        assert!(!trace.spending().may_repeat());
    }
}
