use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Cost, NanoUsd, Usage};

/// What a call has come to so far, request by request, so that nothing is forgotten however it ends.
#[derive(Clone, Default)]
pub struct Spending(Arc<Inner>);

#[derive(Default)]
struct Inner {
    spent: Mutex<Spent>,
    another: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// The sum of all requests of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of the requests whose usage is known, or was estimated.
    pub usage: Option<Usage>,
    /// Requests whose usage the gateway has estimated.
    pub estimated: u32,
    /// Requests that may be on the bill with nobody knowing how much.
    pub lost: u32,
    /// Requests were sent.
    pub sent: bool,
    /// What reranking has cost, beside the model.
    pub fees: NanoUsd,
    /// Some of it has no known price.
    pub unpriced_fees: bool,
    /// What calls beside this one have cost, which have records of their own.
    pub beside: Cost,
    /// Some of them have no known cost.
    pub unknown_beside: bool,
}

impl Spent {
    /// `usage` as the client is told it: its cost with all that was spent beside the model.
    pub fn told(&self, usage: Usage) -> Usage {
        let known = !self.unpriced_fees && !self.unknown_beside;
        let more = self.beside
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
    /// A request is about to leave. What becomes of it is told to the ticket; one that is dropped is lost.
    pub fn send(&self) -> Ticket {
        self.with(|spent| spent.sent = true);
        Ticket {
            spending: Some(self.clone()),
        }
    }

    /// Something was used that is billed by itself; none: nobody knows its price.
    pub fn fee(&self, price: Option<NanoUsd>) {
        self.with(|spent| {
            spent.fees = spent.fees + price.unwrap_or_default();
            spent.unpriced_fees |= price.is_none();
        });
    }

    /// The gateway has made a call of its own for this one; none: nobody knows what it has cost.
    pub fn beside(&self, cost: Option<Cost>) {
        self.with(|spent| {
            spent.beside = spent.beside + cost.unwrap_or_default();
            spent.unknown_beside |= cost.is_none();
        });
    }

    pub fn spent(&self) -> Spent {
        let mut copy = Spent::default();
        self.with(|spent| copy = *spent);
        copy
    }

    /// Who must agree before a request is repeated that may be on the bill. Set once.
    pub fn ask_before_another(&self, ask: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.0.another.set(Box::new(ask));
    }

    /// May a request that is lost be made again?
    pub fn allows_another(&self) -> bool {
        self.0.another.get().is_none_or(|ask| ask())
    }

    fn with(&self, change: impl FnOnce(&mut Spent)) {
        change(&mut self.0.spent.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spent().fmt(f)
    }
}

/// One request to Bedrock.
#[derive(Debug)]
pub struct Ticket {
    spending: Option<Spending>,
}

impl Ticket {
    /// The service refused it, or never got it: it is not on the bill.
    pub fn free(mut self) {
        self.spending = None;
    }

    /// It is on the bill with this usage.
    pub fn used(mut self, usage: Usage) {
        if let Some(spending) = self.spending.take() {
            spending.with(|spent| {
                spent.usage = Some(spent.usage.map_or(usage, |before| before + usage));
                spent.estimated += u32::from(usage.estimated);
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(spending) = self.spending.take() {
            spending.with(|spent| spent.lost += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_accounted_for() {
        let spending = Spending::default();
        assert_eq!(spending.spent(), Spent::default());
        let usage = Usage {
            input: 1,
            output: 2,
            ..Usage::default()
        };
        spending.send().free();
        spending.send().used(usage);
        spending.send().used(usage);
        drop(spending.send());
        let spent = spending.spent();
        assert_eq!(
            (spent.usage.unwrap().output, spent.lost, spent.sent),
            (4, 1, true)
        );
        assert!(spending.allows_another());
        spending.ask_before_another(|| false);
        assert!(!spending.allows_another());
    }
}
