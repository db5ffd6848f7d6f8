//! Holds: the money reserved for one call, from admission to settlement.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::{
    Ledger,
    balances::Reservation,
    record::{Certainty, LedgerEntry, Record},
    store::HoldRow,
};
use crate::{
    call::Alert,
    metrics,
    money::{Budget, Mode, NanoUsd, Usage},
};

/// The reservations of one call. If dropped without a settlement, the most that the call may cost is settled as
/// presumed, because its actual cost is unknown.
pub struct Hold {
    ledger: Ledger,
    state: Mutex<HoldState>,
}

struct HoldState {
    entry: LedgerEntry,
    /// The most that the call may cost. This is what the store has of the hold, and what a crash settles.
    max_cost: NanoUsd,
    reservations: Vec<Reservation>,
    ended: bool,
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
    pub(super) fn new(
        ledger: Ledger,
        entry: LedgerEntry,
        max_cost: NanoUsd,
        reservations: Vec<Reservation>,
    ) -> Self {
        let mut open = ledger.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(entry.request_id.clone(), Timestamp::now());
        drop(open);
        let state = HoldState {
            entry,
            max_cost,
            reservations,
            ended: false,
        };
        Self {
            ledger,
            state: Mutex::new(state),
        }
    }

    pub(super) fn row(&self) -> HoldRow {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        HoldRow {
            entry: state.entry.clone(),
            amount: state.max_cost,
        }
    }

    /// The most that the call may cost, with all that was added to it.
    pub fn max_cost(&self) -> NanoUsd {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.max_cost
    }

    /// Reserves more: `strict` nano-dollars in budgets that reserve the worst case, `sliced` in the others. Returns
    /// false, and changes nothing, if a budget does not have enough left or the hold has ended.
    pub fn extend(&self, strict: NanoUsd, sliced: NanoUsd) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return false;
        }
        let more = |budget: &Budget| {
            if budget.mode == Mode::Sliced {
                sliced
            } else {
                strict
            }
        };
        if !self
            .ledger
            .balances()
            .extend(&mut state.reservations, more, Timestamp::now())
        {
            return false;
        }
        if strict.0 > 0 {
            state.max_cost = state.max_cost + strict;
            self.ledger
                .0
                .store
                .writer
                .extend(state.entry.request_id.clone(), state.max_cost);
        }
        true
    }

    /// Replaces the reservations with the cost of the call, and queues its record. Later calls have no effect.
    pub fn settle(&self, outcome: Settlement) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.ended, true) {
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
        let ended_at = Timestamp::now().as_millisecond();
        let entry = state.entry.clone();
        self.end(&state, cost.unwrap_or_default());
        self.ledger.0.store.writer.settle(Record {
            entry,
            ended_at,
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        self.end(&state, NanoUsd::default());
        self.ledger
            .0
            .store
            .writer
            .forget(state.entry.request_id.clone());
    }

    fn end(&self, state: &HoldState, cost: NanoUsd) {
        let crossed = self
            .ledger
            .balances()
            .settle(&state.reservations, cost, Timestamp::now());
        self.ledger.0.settled.notify_waiters();
        for crossed in crossed {
            // The queue may be full, or there may be no webhook. The log has the alert in any case.
            let budget: &Arc<Budget> = &crossed.status.budget;
            tracing::warn!(
                budget = &*budget.id, percent = crossed.percent, limit_usd = %crossed.status.limit,
                settled_usd = %crossed.status.settled, "a budget crossed an alert threshold"
            );
            let _ = self.ledger.0.alerts.try_send(Alert::BudgetThreshold {
                budget: budget.id.to_string(),
                percent: crossed.percent,
                limit_usd: crossed.status.limit.to_string(),
                settled_usd: crossed.status.settled.to_string(),
                resets_at: crossed.status.resets_at,
            });
        }
        self.ledger
            .0
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&state.entry.request_id);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        metrics::hold_presumed();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now().as_millisecond();
        let record = Record::presumed(state.entry.clone(), state.max_cost, now, "unsettled");
        self.end(&state, state.max_cost);
        self.ledger.0.store.writer.settle(record);
    }
}
