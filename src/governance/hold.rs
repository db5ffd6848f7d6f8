//! Holds: the money reserved for one call, from admission to settlement.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::timeout;

use super::{
    Ledger, WRITE_TIMEOUT,
    account::ThresholdCrossed,
    record::{Certainty, LedgerEntry, Record},
    store::HoldRow,
};
use crate::{
    call::Alert,
    metrics,
    model::{Route, Target},
    money::{Budget, Mode, NanoUsd, Usage},
};

/// The reservations of one call. If dropped without a settlement, the most that the call may cost is settled as
/// presumed, because its actual cost is unknown.
pub struct Hold {
    ledger: Ledger,
    entry: LedgerEntry,
    /// Set if the call moved to another route than the planned one.
    rerouted: OnceLock<Route>,
    /// Set if the call is sent elsewhere than to the model's first target.
    served: Mutex<Option<ServedAt>>,
    /// Held while a move is written, so that the other requests of the call wait for it, too.
    moving: tokio::sync::Mutex<()>,
    /// The call waits for its hold to be stored, because a budget depends on it.
    is_budgeted: bool,
    ended: AtomicBool,
}

/// Where a call is answered, and at which price, as in [`LedgerEntry`].
pub struct ServedAt {
    pub target: Arc<Target>,
    pub price: String,
}

/// The cost of a call that has ended, and how it ended.
#[derive(Clone, Copy, Debug)]
pub struct Settlement {
    pub usage: Usage,
    /// None if no price is known.
    pub cost: Option<NanoUsd>,
    pub certainty: Certainty,
    /// `ok`, or the code of the error.
    pub status: &'static str,
    /// How the call ended, as in [`Record::how`].
    pub how: &'static str,
    pub attempts: u32,
}

impl Record {
    /// Returns the record of a call whose end is unknown. `now` is in Unix milliseconds.
    pub fn presumed(entry: LedgerEntry, amount: NanoUsd, now: i64, status: &'static str) -> Self {
        Self {
            entry,
            ended_at: now,
            usage: Usage::default(),
            cost: Some(amount),
            certainty: Certainty::Presumed,
            status,
            how: "unknown",
            attempts: 1,
        }
    }
}

impl Hold {
    pub(super) fn new(ledger: Ledger, entry: LedgerEntry, is_budgeted: bool) -> Self {
        Self {
            ledger,
            entry,
            rerouted: OnceLock::new(),
            served: Mutex::default(),
            moving: tokio::sync::Mutex::default(),
            is_budgeted,
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn row(&self) -> HoldRow {
        HoldRow {
            entry: self.entry(),
            amount: self.max_cost(),
        }
    }

    fn entry(&self) -> LedgerEntry {
        let mut entry = self.entry.clone();
        entry.route = self.rerouted.get().copied().or(entry.route);
        if let Some(ServedAt { target, price }) = &*self.served() {
            entry.target.clone_from(&target.id);
            entry.region.clone_from(&target.region);
            entry.price.clone_from(price);
        }
        entry
    }

    /// Records that the call moves to another route, once. Returns true once that is stored, and false if the ledger cannot
    /// be written; then the call must not be sent there, because a reconciliation after a crash would look for it in the
    /// wrong place.
    pub async fn reroute(&self, route: Route) -> bool {
        let _ = self.rerouted.set(route);
        self.store_again().await
    }

    /// Records that a request of the call is sent to `target`, whose `price` is as in [`LedgerEntry`]. Returns true once that
    /// is stored, and false if it cannot be; then the request must not be sent there, as with [`reroute`](Self::reroute).
    pub async fn relocate(&self, target: Arc<Target>, price: impl FnOnce() -> String) -> bool {
        let _moving = self.moving.lock().await;
        if self.is_at(&target) {
            return true;
        }
        let price = price();
        let before = self.served().replace(ServedAt { target, price });
        let is_stored = self.store_again().await;
        if !is_stored {
            *self.served() = before;
        }
        is_stored
    }

    fn is_at(&self, target: &Target) -> bool {
        match &*self.served() {
            Some(served) => *served.target == *target,
            None => self.entry.target == target.id && self.entry.region == target.region,
        }
    }

    /// Records where the call was answered, for its record.
    pub fn set_served(&self, served: ServedAt) {
        *self.served() = Some(served);
    }

    fn served(&self) -> MutexGuard<'_, Option<ServedAt>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the hold with what has changed. Returns true once the call need not wait for that any more.
    async fn store_again(&self) -> bool {
        let store = &self.ledger.0.store;
        let written = {
            let accounts = self.ledger.accounts();
            // A call ends under this lock. Its hold must not come back.
            let Some(amount) = accounts.max_cost(&self.entry.request_id) else {
                return false;
            };
            if !store.is_durable() {
                return true;
            }
            let entry = self.entry();
            let row = HoldRow { entry, amount };
            if !self.is_budgeted {
                store.writer.note(row);
                return true;
            }
            store.writer.hold(row)
        };
        timeout(WRITE_TIMEOUT, written).await == Ok(Ok(true))
    }

    /// The most that the call may cost, with all that was added to it.
    pub fn max_cost(&self) -> NanoUsd {
        let accounts = self.ledger.accounts();
        accounts
            .max_cost(&self.entry.request_id)
            .unwrap_or_default()
    }

    /// Reserves more: `strict` nano-dollars in budgets that reserve the worst case, `sliced` in the others. The future
    /// returns true once that is decided and stored. It returns false, and nothing is reserved, if a budget does not have
    /// enough left or the hold has ended; or if the ledger cannot be written.
    pub fn extend(
        &self,
        strict: NanoUsd,
        sliced: NanoUsd,
    ) -> impl Future<Output = bool> + Send + use<> {
        let more = |budget: &Budget| {
            if budget.mode == Mode::Sliced {
                sliced
            } else {
                strict
            }
        };
        let ledger = &self.ledger;
        let request_id = &self.entry.request_id;
        let mut accounts = ledger.accounts();
        let is_granted = accounts.extend(request_id, more, strict, ledger.now());
        // A slice does not change the most that the call may cost, which is what a crash settles.
        let written = (is_granted && strict.0 > 0 && ledger.0.store.is_durable()).then(|| {
            let max_cost = accounts.max_cost(request_id).unwrap_or_default();
            let writer = &ledger.0.store.writer;
            writer.extend(request_id.clone(), max_cost)
        });
        async move {
            match written {
                Some(written) => written.await.unwrap_or(false),
                None => is_granted,
            }
        }
    }

    /// Replaces the reservations with the cost of the call, and queues its record. Later calls have no effect.
    pub fn settle(&self, outcome: Settlement) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let Settlement {
            usage,
            cost,
            certainty,
            status,
            how,
            attempts,
        } = outcome;
        self.end(Record {
            entry: self.entry(),
            ended_at: self.ledger.now().as_millisecond(),
            usage,
            cost,
            certainty,
            status,
            how,
            attempts,
        });
    }

    /// Drops the reservations of a call that was never sent, and its hold in the store.
    pub(super) fn release(self) {
        self.ended.store(true, Ordering::Relaxed);
        let now = self.ledger.now();
        let mut accounts = self.ledger.accounts();
        accounts.settle(&self.entry.request_id, NanoUsd::default(), now);
        let writer = &self.ledger.0.store.writer;
        writer.forget(self.entry.request_id.clone());
    }

    fn end(&self, record: Record) {
        let crossed = {
            let mut accounts = self.ledger.accounts();
            let cost = record.cost.unwrap_or_default();
            let now = self.ledger.now();
            let crossed = accounts.settle(&self.entry.request_id, cost, now);
            // Queued under the lock, so that a window that is being read has the record or gets the settlement, not both.
            self.ledger.0.store.writer.settle(record);
            crossed
        };
        for crossed in crossed {
            self.ledger.alert(&crossed);
        }
    }
}

impl Ledger {
    fn alert(&self, crossed: &ThresholdCrossed) {
        let (status, percent) = (&crossed.status, crossed.percent);
        let budget: &Arc<Budget> = &status.budget;
        // The queue may be full, or there may be no webhook. The log has the alert in any case.
        tracing::warn!(
            budget = &*budget.id, percent, limit_usd = %status.limit, settled_usd = %status.settled,
            "a budget crossed an alert threshold"
        );
        let _ = self.0.alerts.try_send(Alert::BudgetThreshold {
            budget: budget.id.to_string(),
            percent,
            limit_usd: status.limit.to_string(),
            settled_usd: status.settled.to_string(),
            resets_at: status.resets_at,
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if std::mem::replace(self.ended.get_mut(), true) {
            return;
        }
        metrics::hold_presumed();
        let now = self.ledger.now().as_millisecond();
        let record = Record::presumed(self.entry(), self.max_cost(), now, "unsettled");
        self.end(record);
    }
}
