//! Records what calls cost and enforces budgets. Balances live in memory. Under a budget, a hold is written to the
//! store before its call is sent, and a record after the call ends, so that balances can be rebuilt after a restart and
//! every billed call is paid for.

mod balances;
mod corrections;
mod hold;
mod record;
mod store;
mod window;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};

pub use balances::{BudgetStatus, LimitOverride, Refusal};
pub use corrections::Reconciliation;
pub use hold::{Hold, Settlement};
pub use record::{Certainty, LedgerEntry, Record};
pub use store::{
    Audit, Durability, GroupBy, KeyRow, Location, ReportQuery, ReportRow, StoreSettings,
};
pub use window::Window;

use crate::{
    call::{Alerts, EndUsers},
    metrics,
    money::{Budget, NanoUsd},
};
use balances::Balances;
use store::{HoldRow, Store};

/// The ledger of this gateway. Clones share one state.
#[derive(Clone)]
pub struct Ledger(Arc<LedgerInner>);

struct LedgerInner {
    store: Store,
    balances: Mutex<Balances>,
    /// Limits how many reports run at once, because each takes a thread and reads much of the file.
    reports: Semaphore,
    /// Held during a reconciliation, because two at once would correct a record twice.
    reconciling: tokio::sync::Mutex<()>,
    /// Notified after each settlement, because it may free reserved money.
    settled: Notify,
    alerts: Alerts,
    /// The start times of the calls in flight, by request id.
    open: Mutex<std::collections::BTreeMap<Arc<str>, Timestamp>>,
}

/// A hold whose call must not be sent yet. Dropping it releases the reserved money.
struct PendingHold(Option<Hold>);

impl PendingHold {
    fn admit(mut self) -> Option<Hold> {
        self.0.take()
    }
}

impl Drop for PendingHold {
    fn drop(&mut self) {
        if let Some(hold) = self.0.take() {
            hold.release();
        }
    }
}

/// Why a call was not admitted.
#[derive(Clone, Debug)]
pub enum HoldError {
    /// A budget does not have enough left.
    Refused(Refusal),
    /// The call falls under a budget, and the store cannot be written.
    StoreUnavailable,
}

impl Ledger {
    /// Opens the store, and settles the holds that an earlier process left as presumed spend.
    ///
    /// # Errors
    /// Returns a message with the reason if the store cannot be opened or read.
    pub async fn open(settings: &StoreSettings, alerts: Alerts) -> Result<Self, String> {
        let store = Store::open(settings)?;
        let ledger = Self(Arc::new(LedgerInner {
            store,
            balances: Mutex::default(),
            reports: Semaphore::new(2),
            reconciling: tokio::sync::Mutex::default(),
            settled: Notify::new(),
            alerts,
            open: Mutex::default(),
        }));
        ledger.settle_leftover_holds().await?;
        Ok(ledger)
    }

    /// Settles the holds of calls that were in flight when a process ended, because they may be on the bill.
    async fn settle_leftover_holds(&self) -> Result<(), String> {
        let now = Timestamp::now().as_millisecond();
        for hold in self.0.store.holds().await? {
            let HoldRow { entry, amount } = hold;
            tracing::warn!(
                request_id = &*entry.request_id,
                key_id = entry.key_id,
                model = entry.model,
                cost_usd = %amount,
                "a call was in flight when the gateway ended; its whole hold counts as spent"
            );
            metrics::hold_presumed();
            self.0
                .store
                .writer
                .settle(Record::presumed(entry, amount, now, "gateway_ended"));
        }
        self.0.store.writer.flush().await;
        Ok(())
    }

    /// Opens an account for each budget that has none, with what its current window has already spent.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read.
    pub async fn track(
        &self,
        budgets: impl IntoIterator<Item = Arc<Budget>>,
    ) -> Result<(), String> {
        let new: Vec<Arc<Budget>> = {
            let balances = self.balances();
            budgets
                .into_iter()
                .filter(|budget| !balances.contains(&budget.id))
                .collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        let read = self.0.store.opening_balances(new, now).await?;
        let mut balances = self.balances();
        for (budget, settled, overrides) in read {
            balances.open_account(&budget, settled, overrides, now);
        }
        Ok(())
    }

    /// Drops the accounts of `scope` whose budgets are not in `kept`. If such a budget comes back, its balance is read
    /// from the store again.
    pub fn untrack_others(&self, scope: &str, kept: &[Arc<Budget>]) {
        self.balances().remove_accounts(|budget| {
            *budget.scope == *scope && kept.iter().all(|kept| kept.id != budget.id)
        });
    }

    /// Opens the accounts of the end users of a key that have spent something in the last 31 days.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read.
    pub async fn track_end_users(&self, key_id: &str, end_users: &EndUsers) -> Result<(), String> {
        let oldest = Timestamp::now().as_second() - 31 * 86_400;
        let users = self.0.store.end_users(key_id, oldest).await?;
        for user in users.into_iter().take(end_users.max) {
            let scope = format!("key:{key_id}/user:{user}");
            end_users
                .known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(user);
            self.track(
                end_users
                    .budgets
                    .iter()
                    .map(|budget| Arc::new(budget.of(&scope))),
            )
            .await?;
        }
        Ok(())
    }

    /// Reserves each of `amounts` in its budget, in all of them or in none, and writes the hold to the store. The call
    /// must not be sent before this returns.
    ///
    /// # Errors
    /// Returns the reason why the call must not be sent.
    pub async fn hold(
        &self,
        entry: LedgerEntry,
        max_cost: NanoUsd,
        amounts: &[(Arc<Budget>, NanoUsd)],
    ) -> Result<Hold, HoldError> {
        let reservations = self.reserve(amounts).await.map_err(HoldError::Refused)?;
        // A caller that gives up before this returns has spent nothing.
        let pending = PendingHold(Some(Hold::new(self.clone(), entry, max_cost, reservations)));
        let Some(hold) = &pending.0 else {
            return Err(HoldError::StoreUnavailable);
        };
        if self.0.store.is_durable() {
            // Without a budget nothing depends on the hold, so the call does not wait for the write. A crash before the
            // write loses the record of this call.
            if amounts.is_empty() {
                self.0.store.writer.note(hold.row());
            } else if !self.0.store.writer.hold(hold.row()).await {
                return Err(HoldError::StoreUnavailable);
            }
        }
        pending.admit().ok_or(HoldError::StoreUnavailable)
    }

    async fn reserve(
        &self,
        amounts: &[(Arc<Budget>, NanoUsd)],
    ) -> Result<Vec<balances::Reservation>, Refusal> {
        let began = tokio::time::Instant::now();
        loop {
            // Registered before the check, so that a settlement in between is not missed.
            let settled = self.0.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let refusal = match self.balances().reserve(amounts, Timestamp::now()) {
                Ok(reservations) => return Ok(reservations),
                Err(refusal) => refusal,
            };
            let Refusal::Reserved(status) = &refusal else {
                return Err(refusal);
            };
            let deadline = began + status.budget.wait;
            if tokio::time::timeout_at(deadline, settled).await.is_err() {
                return Err(refusal);
            }
        }
    }

    /// Returns the status of every budget that `wanted` accepts, sorted by id.
    pub fn budget_statuses(&self, wanted: impl Fn(&Budget) -> bool) -> Vec<BudgetStatus> {
        self.balances().budget_statuses(wanted, Timestamp::now())
    }

    /// Returns the status of one budget, and opens its account if it has none.
    pub fn budget_status(&self, budget: &Arc<Budget>) -> Option<BudgetStatus> {
        let now = Timestamp::now();
        let mut balances = self.balances();
        // Reserving nothing opens the account.
        let _ = balances.reserve(&[(budget.clone(), NanoUsd(0))], now);
        balances
            .budget_statuses(|other| other.id == budget.id, now)
            .pop()
    }

    /// Returns the number of calls in flight and the age of the oldest.
    pub fn open_holds(&self) -> (usize, Duration) {
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = open
            .values()
            .min()
            .map(|began| Timestamp::now().duration_since(*began));
        (
            open.len(),
            oldest
                .and_then(|age| Duration::try_from(age).ok())
                .unwrap_or_default(),
        )
    }

    /// Returns whether calls under a budget can be admitted, which needs a writable store.
    pub fn is_healthy(&self) -> bool {
        self.0.store.writer.health.is_healthy()
    }

    /// Sets the gauges of holds, the store and budgets.
    pub fn publish_metrics(&self) {
        let (open, oldest) = self.open_holds();
        metrics::holds(open, oldest);
        metrics::ledger_state(
            self.0.store.bytes(),
            self.0.store.free_bytes(),
            self.0.store.writer.health.backlog(),
        );
        for status in self.budget_statuses(|budget| !budget.scope.contains("/user:")) {
            metrics::budget(
                &status.budget.id,
                status.limit,
                status.settled,
                status.reserved,
                status.resets_at,
            );
        }
    }

    /// Waits until every settlement so far is written, if the store can be written.
    pub async fn flush(&self) {
        self.0.store.writer.flush().await;
    }

    /// Flushes, and moves everything into the main database file. Call it when the process ends.
    pub async fn close(&self) {
        self.0.store.writer.checkpoint().await;
    }

    fn balances(&self) -> std::sync::MutexGuard<'_, Balances> {
        self.0
            .balances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
