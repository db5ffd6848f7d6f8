use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::{
    Ledger,
    balances::Place,
    record::{Entry, Kind, Record},
    store::HoldRow,
};
use crate::{
    call::{Alert, Budget, Mode, NanoUsd, Usage},
    metrics,
};

/// Money that is set aside for one call. Dropped without a settlement it becomes presumed spend, never a release: nobody
/// knows then what the call has cost.
pub struct Hold {
    ledger: Ledger,
    state: Mutex<State>,
}

struct State {
    entry: Entry,
    /// The most that the call may cost, for the record that a crash leaves.
    most: NanoUsd,
    places: Vec<Place>,
    ended: bool,
}

/// What a call has come to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub usage: Usage,
    /// None where no price is known.
    pub cost: Option<NanoUsd>,
    pub kind: Kind,
    /// `ok`, or the code of the error.
    pub status: &'static str,
    pub how: &'static str,
    pub attempts: u32,
}

impl Record {
    /// Of a call of which nobody knows how it ended.
    pub fn presumed(entry: Entry, amount: NanoUsd, now: i64, status: &'static str) -> Self {
        Self {
            entry,
            ended_at: now,
            usage: Usage::default(),
            cost: Some(amount),
            kind: Kind::Presumed,
            status,
            how: "unknown",
            attempts: 1,
        }
    }
}

impl Hold {
    pub(super) fn new(ledger: Ledger, entry: Entry, most: NanoUsd, places: Vec<Place>) -> Self {
        let mut open = ledger.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(entry.request_id.clone(), Timestamp::now());
        drop(open);
        let state = State {
            entry,
            most,
            places,
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
            amount: state.most,
        }
    }

    /// Sets more aside: `strict` where the worst case was held already, `sliced` in the other budgets. False: there is no
    /// more, and nothing was changed.
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
            .extend(&mut state.places, more, Timestamp::now())
        {
            return false;
        }
        if strict.0 > 0 {
            state.most = state.most + strict;
            self.ledger
                .0
                .store
                .writer
                .raise(state.entry.request_id.clone(), state.most);
        }
        true
    }

    /// The call is over. Only the first settlement counts.
    pub fn settle(&self, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        let Outcome {
            usage,
            cost,
            kind,
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
            kind,
            status,
            how,
            attempts,
        });
    }

    /// Nothing was sent, and nothing stays written down: as if the call had never come.
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

    fn end(&self, state: &State, cost: NanoUsd) {
        let passed = self
            .ledger
            .balances()
            .settle(&state.places, cost, Timestamp::now());
        self.ledger.0.settled.notify_waiters();
        for passed in passed {
            // Without a reader, or too many at once: the log has it.
            let budget: &Arc<Budget> = &passed.standing.budget;
            tracing::warn!(
                budget = &*budget.id, percent = passed.percent, limit_usd = %passed.standing.limit,
                settled_usd = %passed.standing.settled, "a budget has passed a part of its limit"
            );
            let _ = self.ledger.0.alerts.try_send(Alert::BudgetThreshold {
                budget: budget.id.to_string(),
                percent: passed.percent,
                limit_usd: passed.standing.limit.to_string(),
                settled_usd: passed.standing.settled.to_string(),
                resets_at: passed.standing.resets_at,
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
        let record = Record::presumed(state.entry.clone(), state.most, now, "unsettled");
        self.end(&state, state.most);
        self.ledger.0.store.writer.settle(record);
    }
}
