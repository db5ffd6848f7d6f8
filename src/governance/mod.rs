//! Records what calls cost and enforces budgets. Balances live in memory. Under a budget, a hold is written to the
//! store before its call is sent, and a record after the call ends, so that balances can be rebuilt after a restart and
//! every billed call is paid for.

mod account;
mod accounts;
mod clock;
mod corrections;
mod hold;
mod opening;
mod record;
mod responses;
mod scopes;
mod store;
mod window;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, timeout, timeout_at},
};

pub use account::{BudgetStatus, LimitOverride};
pub use accounts::Refusal;
pub use clock::Clock;
pub use corrections::Reconciliation;
pub use hold::{Hold, ServedAt, Settlement};
pub use record::{Certainty, LedgerEntry, Record, price_at};
pub use responses::{
    AloneContent, NewResponse, ResponseError, ResponseSettings, Responses, StoredResponse,
};
pub use scopes::Scopes;
pub use store::{
    Audit, Durability, GroupBy, KeyRow, Location, ReportQuery, ReportRow, StoreSettings,
};
pub use window::Window;

use crate::{
    call::{Alerts, Secret},
    metrics,
    money::{Budget, NanoUsd},
};
use accounts::{Accounts, Denial};
use store::{HoldRow, Store};

/// How long a call waits until its hold is written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of budgets whose status is read at once, so that a list of many does not hold up calls.
const STATUS_CHUNK: usize = 256;

/// The ledger of this gateway. Clones share one state.
#[derive(Clone)]
pub struct Ledger(Arc<LedgerInner>);

struct LedgerInner {
    store: Store,
    accounts: Mutex<Accounts>,
    clock: Clock,
    /// Hashed with the names of end users.
    salt: Vec<u8>,
    /// Held while windows are read, so that a window is read once.
    opening: tokio::sync::Mutex<()>,
    /// Limits how many reports run at once, because each takes a thread and reads much of the file.
    reports: Semaphore,
    /// Held during a reconciliation, because two at once would correct a record twice.
    reconciling: tokio::sync::Mutex<()>,
    alerts: Alerts,
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
        Self::open_at(settings, alerts, Clock::default()).await
    }

    /// Like [`open`](Self::open), with another clock.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub async fn open_at(
        settings: &StoreSettings,
        alerts: Alerts,
        clock: Clock,
    ) -> Result<Self, String> {
        let store = Store::open(settings)?;
        settle_leftover_holds(&store, clock.now()).await?;
        let recorded_until = store.writer.run(store::recorded_until).await?;
        let salt = store.writer.run(store::salt).await?;
        Ok(Self(Arc::new(LedgerInner {
            store,
            accounts: Mutex::new(Accounts::new(recorded_until)),
            clock,
            salt,
            opening: tokio::sync::Mutex::default(),
            reports: Semaphore::new(2),
            reconciling: tokio::sync::Mutex::default(),
            alerts,
        })))
    }

    /// Reserves what `amount` returns for each budget of a call, in all of them or in none, and writes the hold to the
    /// store. `max_cost` is the most that the call may cost. The call must not be sent before this returns.
    ///
    /// # Errors
    /// Returns the reason why the call must not be sent.
    pub async fn hold(
        &self,
        mut entry: LedgerEntry,
        max_cost: NanoUsd,
        amount: impl Fn(&Budget) -> NanoUsd + Send + Sync,
    ) -> Result<Hold, HoldError> {
        let (admitted, is_budgeted) = self.admit(&entry, max_cost, amount).await?;
        entry.at = admitted.as_millisecond();
        let hold = Hold::new(self.clone(), entry, is_budgeted);
        if !self.0.store.is_durable() {
            return Ok(hold);
        }
        let row = hold.row();
        // A caller that gives up before this returns has spent nothing.
        let pending = PendingHold(Some(hold));
        let writer = &self.0.store.writer;
        // Without a budget nothing depends on the hold, so the call does not wait for the write. A crash before the write
        // loses the record of this call.
        if !is_budgeted {
            writer.note(row);
        } else if timeout(WRITE_TIMEOUT, writer.hold(row)).await != Ok(Ok(true)) {
            return Err(HoldError::StoreUnavailable);
        }
        pending.admit().ok_or(HoldError::StoreUnavailable)
    }

    /// Admits a call into its budgets. Returns when, and whether it has any.
    async fn admit(
        &self,
        entry: &LedgerEntry,
        max_cost: NanoUsd,
        amount: impl Fn(&Budget) -> NanoUsd + Send + Sync,
    ) -> Result<(Timestamp, bool), HoldError> {
        let (scopes, began) = (Scopes::of(entry), Instant::now());
        let try_admit = || {
            let (mut accounts, now) = (self.accounts(), self.now());
            let denial = match accounts.admit(&entry.request_id, &scopes, max_cost, &amount, now) {
                Ok(is_budgeted) => return Ok((now, is_budgeted)),
                Err(denial) => denial,
            };
            // Registered under the lock, so that no settlement is missed.
            let woken = match &denial {
                Denial::Refused(refusal) if refusal.is_reserved => {
                    accounts.wait_for(&refusal.status.budget.id, refusal.amount)
                }
                _ => None,
            };
            Err((denial, woken))
        };
        loop {
            match try_admit() {
                Ok(admitted) => return Ok(admitted),
                Err((Denial::Unopened(ids), _)) => self.open_for_call(&ids).await?,
                Err((Denial::Refused(refusal), woken)) => {
                    if !self.is_worth_waiting(&refusal, woken, began).await {
                        return Err(HoldError::Refused(refusal));
                    }
                }
            }
        }
    }

    /// Waits until the budget that refused a call may have room for it. Returns false once the call has waited for as long
    /// as the budget allows.
    async fn is_worth_waiting(
        &self,
        refusal: &Refusal,
        woken: Option<oneshot::Receiver<()>>,
        began: Instant,
    ) -> bool {
        let Some(woken) = woken else {
            return false;
        };
        let deadline = began + refusal.status.budget.wait;
        // The next window may have room without a settlement.
        let reset = refusal.status.resets_at - self.now().as_second();
        let reset = Instant::now() + Duration::from_secs(u64::try_from(reset).unwrap_or(0));
        let was_woken = timeout_at(deadline.min(reset), woken).await.is_ok();
        was_woken || Instant::now() < deadline
    }

    /// Returns the budgets that apply to a call with `scopes`.
    pub fn budgets(&self, scopes: &Scopes) -> Vec<Arc<Budget>> {
        self.accounts().budgets(scopes, self.now())
    }

    /// Returns the status of every budget whose id `wanted` accepts, sorted by id.
    ///
    /// # Errors
    /// Returns SQLite's message if a window has to be read and cannot be.
    pub async fn budget_statuses(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<BudgetStatus>, String> {
        let (mut statuses, mut last) = (Vec::new(), None);
        loop {
            let ids = self.accounts().ids_after(last.as_ref(), STATUS_CHUNK);
            let Some(end) = ids.last() else {
                return Ok(statuses);
            };
            last = Some(end.clone());
            let ids: Vec<Arc<str>> = ids.into_iter().filter(|id| wanted(id)).collect();
            self.open_windows(&ids).await?;
            {
                let (accounts, now) = (self.accounts(), self.now());
                statuses.extend(ids.iter().filter_map(|id| accounts.status(id, now)));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the status of each budget of `scope`.
    ///
    /// # Errors
    /// Returns SQLite's message if a window has to be read and cannot be.
    pub async fn budget_statuses_of(&self, scope: &str) -> Result<Vec<BudgetStatus>, String> {
        let ids = self.accounts().ids_of(scope);
        self.open_windows(&ids).await?;
        let (accounts, now) = (self.accounts(), self.now());
        Ok(ids
            .iter()
            .filter_map(|id| accounts.status(id, now))
            .collect())
    }

    /// Returns the status of one budget, if its current window is open.
    pub fn budget_status(&self, id: &str) -> Option<BudgetStatus> {
        self.accounts().status(id, self.now())
    }

    /// Returns the number of calls in flight and the age of the oldest.
    pub fn open_holds(&self) -> (usize, Duration) {
        let (open, oldest) = self.accounts().open_calls();
        let age = oldest.map(|admitted| self.now().duration_since(admitted));
        let age = age.and_then(|age| Duration::try_from(age).ok());
        (open, age.unwrap_or_default())
    }

    /// Returns whether calls under a budget can be admitted, which needs a writable store.
    pub fn is_healthy(&self) -> bool {
        self.0.store.writer.health.is_healthy()
    }

    /// Sets the gauges of holds, the store and budgets.
    pub async fn publish_metrics(&self) {
        let (open, oldest) = self.open_holds();
        metrics::holds(open, oldest);
        metrics::ledger_state(
            self.0.store.bytes(),
            self.0.store.free_bytes(),
            self.0.store.writer.health.backlog(),
        );
        // A ledger that cannot be read has a metric of its own.
        let statuses = self.budget_statuses(|id| !id.contains("/user:")).await;
        for chunk in statuses.unwrap_or_default().chunks(STATUS_CHUNK) {
            for status in chunk {
                metrics::budget(
                    &status.budget.id,
                    status.limit,
                    status.settled,
                    status.reserved,
                    status.resets_at,
                );
            }
            // Calls share the thread, and many budgets take long.
            tokio::task::yield_now().await;
        }
    }

    /// Returns the secret that seals what clients keep for the gateway. It is made once and kept in the store.
    ///
    /// # Errors
    /// Returns SQLite's message, or that the system has no source of randomness.
    pub async fn seal_secret(&self) -> Result<Secret, String> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|error| error.to_string())?;
        let new = hex::encode(random);
        let kept = move |connection: &_| store::seal_secret(connection, &new);
        self.0.store.writer.run(kept).await.map(Secret::new)
    }

    /// Waits until every settlement so far is written, if the store can be written.
    pub async fn flush(&self) {
        self.0.store.writer.flush().await;
    }

    /// Flushes, and moves everything into the main database file. Call it when the process ends.
    pub async fn close(&self) {
        self.0.store.writer.checkpoint().await;
    }

    /// Returns the time of the ledger.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn accounts(&self) -> std::sync::MutexGuard<'_, Accounts> {
        self.0
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Settles the holds of calls that were in flight when a process ended, because they may be on the bill.
async fn settle_leftover_holds(store: &Store, now: Timestamp) -> Result<(), String> {
    for HoldRow { entry, amount } in store.holds().await? {
        tracing::warn!(
            request_id = &*entry.request_id,
            key_id = entry.key_id,
            model = entry.model,
            cost_usd = %amount,
            "a call was in flight when the gateway ended; its whole hold counts as spent"
        );
        metrics::hold_presumed();
        let now = now.as_millisecond();
        store
            .writer
            .settle(Record::presumed(entry, amount, now, "gateway_ended"));
    }
    store.writer.flush().await;
    Ok(())
}

#[cfg(test)]
mod tests;
