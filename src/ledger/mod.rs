//! What calls cost, and what may still be spent. Balances live in memory; every hold is in the file before its call
//! leaves, and every record after it, so that balances can be rebuilt and nothing is free that was billed.

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

pub use balances::{Raise, Refusal, Standing};
pub use corrections::Reconciled;
pub use hold::{Hold, Outcome};
pub use record::{Entry, Kind, Record};
pub use store::{Audit, By, Durability, Group, KeyRow, Location, Report, Settings};
pub use window::Window;

use crate::{
    call::{Alerts, Budget, EndUsers, NanoUsd},
    metrics,
};
use balances::Balances;
use store::{HoldRow, Store};

/// The ledger of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    store: Store,
    balances: Mutex<Balances>,
    /// Reports that may run at once: each is a thread and a look at much of the file.
    reports: Semaphore,
    reconciling: tokio::sync::Mutex<()>,
    /// Something was settled: money that was set aside may be free again.
    settled: Notify,
    alerts: Alerts,
    /// Calls that are running, by their request ids, with when they began.
    open: Mutex<std::collections::BTreeMap<Arc<str>, Timestamp>>,
}

/// A hold whose call may not leave yet. Dropped, it is as if the call had never come.
struct Pending(Option<Hold>);

impl Pending {
    fn admitted(mut self) -> Option<Hold> {
        self.0.take()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(hold) = self.0.take() {
            hold.release();
        }
    }
}

/// The file could not be written, so the call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

impl Ledger {
    /// Opens the store, and books the holds that a process which is gone has left as presumed spend.
    ///
    /// # Errors
    /// If the store cannot be opened; the text says why.
    pub async fn open(settings: &Settings, alerts: Alerts) -> Result<Self, String> {
        let store = Store::open(settings)?;
        let ledger = Self(Arc::new(Inner {
            store,
            balances: Mutex::default(),
            reports: Semaphore::new(2),
            reconciling: tokio::sync::Mutex::default(),
            settled: Notify::new(),
            alerts,
            open: Mutex::default(),
        }));
        ledger.presume().await?;
        Ok(ledger)
    }

    /// What was running when a process ended is on the bill for all that anybody knows.
    async fn presume(&self) -> Result<(), String> {
        let now = Timestamp::now().as_millisecond();
        for hold in self.0.store.holds().await? {
            let HoldRow { entry, amount } = hold;
            tracing::warn!(
                request_id = &*entry.request_id,
                key_id = entry.key_id,
                model = entry.model,
                cost_usd = %amount,
                "a call was running when the gateway ended; its whole hold is presumed to be spent"
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

    /// Takes budgets up, with what is already spent of their current windows. Those that are known are left alone.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn track(
        &self,
        budgets: impl IntoIterator<Item = Arc<Budget>>,
    ) -> Result<(), String> {
        let new: Vec<Arc<Budget>> = {
            let balances = self.balances();
            budgets
                .into_iter()
                .filter(|budget| !balances.knows(&budget.id))
                .collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        let read = self.0.store.opening(new, now).await?;
        let mut balances = self.balances();
        for (budget, settled, raises) in read {
            balances.open(&budget, settled, raises, now);
        }
        Ok(())
    }

    /// Only these budgets of a key are left: what another has known is read anew should it come back.
    pub fn forget_others(&self, scope: &str, kept: &[Arc<Budget>]) {
        self.balances().drop_accounts(|budget| {
            *budget.scope == *scope && kept.iter().all(|kept| kept.id != budget.id)
        });
    }

    /// Takes up the accounts of the end users that a key already has.
    ///
    /// # Errors
    /// If the store cannot be read.
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

    /// Sets money aside for a call in all `asked` budgets at once, and writes it down before the call may leave.
    ///
    /// # Errors
    /// Why the call may not leave. `Err(Err(_))`: a call under a budget, and the file cannot be written.
    pub async fn hold(
        &self,
        entry: Entry,
        most: NanoUsd,
        asked: &[(Arc<Budget>, NanoUsd)],
    ) -> Result<Hold, Result<Refusal, Unavailable>> {
        let places = self.reserve(asked).await.map_err(Ok)?;
        // Nothing leaves before this returns: who gives up meanwhile has spent nothing.
        let pending = Pending(Some(Hold::new(self.clone(), entry, most, places)));
        let Some(hold) = &pending.0 else {
            return Err(Err(Unavailable));
        };
        if self.0.store.is_durable() {
            // Without a budget nothing is enforced by it, and a crash within the moment of the write is all that is lost.
            if asked.is_empty() {
                self.0.store.writer.note(hold.row());
            } else if !self.0.store.writer.hold(hold.row()).await {
                return Err(Err(Unavailable));
            }
        }
        pending.admitted().ok_or(Err(Unavailable))
    }

    async fn reserve(
        &self,
        asked: &[(Arc<Budget>, NanoUsd)],
    ) -> Result<Vec<balances::Place>, Refusal> {
        let began = tokio::time::Instant::now();
        loop {
            // Before the look, so that nothing that is settled meanwhile is missed.
            let settled = self.0.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let refusal = match self.balances().reserve(asked, Timestamp::now()) {
                Ok(places) => return Ok(places),
                Err(refusal) => refusal,
            };
            let Refusal::Reserved(standing) = &refusal else {
                return Err(refusal);
            };
            let deadline = began + standing.budget.wait;
            if tokio::time::timeout_at(deadline, settled).await.is_err() {
                return Err(refusal);
            }
        }
    }

    /// How the budgets stand that `wanted` picks.
    pub fn standings(&self, wanted: impl Fn(&Budget) -> bool) -> Vec<Standing> {
        self.balances().standings(wanted, Timestamp::now())
    }

    /// How one budget stands that may not have been used yet.
    pub fn standing(&self, budget: &Arc<Budget>) -> Option<Standing> {
        let now = Timestamp::now();
        let mut balances = self.balances();
        // Asking for nothing opens the account.
        let _ = balances.reserve(&[(budget.clone(), NanoUsd(0))], now);
        balances.standings(|other| other.id == budget.id, now).pop()
    }

    /// Calls that are running, and for how long the oldest is.
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

    /// Can calls under a budget be admitted?
    pub fn is_well(&self) -> bool {
        self.0.store.writer.health.is_well()
    }

    pub fn publish_metrics(&self) {
        let (open, oldest) = self.open_holds();
        metrics::holds(open, oldest);
        metrics::ledger_state(
            self.0.store.bytes(),
            self.0.store.free_bytes(),
            self.0.store.writer.health.backlog(),
        );
        for standing in self.standings(|budget| !budget.scope.contains("/user:")) {
            metrics::budget(
                &standing.budget.id,
                standing.limit,
                standing.settled,
                standing.reserved,
                standing.resets_at,
            );
        }
    }

    /// Everything that was settled is in the file.
    pub async fn flush(&self) {
        self.0.store.writer.flush().await;
    }

    /// As [`Ledger::flush`], and into one file: for the end of the process.
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
