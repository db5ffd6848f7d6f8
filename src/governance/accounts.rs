//! The budgets in force, their accounts, and the calls in flight. Pure: every decision is one call under one lock.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::oneshot;

mod terms;

use super::{
    account::{Account, Balance, BudgetStatus, LimitOverride, ThresholdCrossed},
    scopes::Scopes,
    window::Window,
};
use crate::money::{Budget, NanoUsd};

/// All accounts. They own the terms of every budget, so that a call cannot bring back terms that were replaced while it ran.
#[derive(Debug)]
pub struct Accounts {
    /// By budget id.
    accounts: HashMap<Arc<str>, Account>,
    /// The ids of all accounts in order, so that a long list can be read in parts.
    ids: BTreeSet<Arc<str>>,
    /// The budgets in force, by scope.
    budgets: HashMap<Arc<str>, Vec<Arc<Budget>>>,
    /// The end users of keys, by key.
    users: HashMap<Arc<str>, KeyUsers>,
    /// The calls in flight, by request id.
    calls: HashMap<Arc<str>, OpenCall>,
    /// No call was admitted at this time or later, in Unix seconds.
    latest: i64,
}

/// The end users of a key.
#[derive(Debug, Default)]
struct KeyUsers {
    /// The budgets of each of them, with the scope of the key.
    templates: Vec<Arc<Budget>>,
    /// The scopes of those with budgets of their own.
    scopes: Vec<Arc<str>>,
}

/// A call in flight.
#[derive(Debug)]
struct OpenCall {
    scopes: Scopes,
    admitted: Timestamp,
    /// The most that it may cost.
    max_cost: NanoUsd,
    reservations: Vec<Reservation>,
}

/// The part of a call's reservation that is in one budget.
#[derive(Debug)]
struct Reservation {
    budget_id: Arc<str>,
    /// The start of the window in which the call was admitted, in Unix seconds.
    start: i64,
    amount: NanoUsd,
}

/// A window whose settled cost must be read from the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnopenedWindow {
    pub budget_id: Arc<str>,
    pub scope: Arc<str>,
    pub window: Window,
}

/// Why a call is not admitted.
#[derive(Debug)]
pub enum Denial {
    /// The ids of budgets whose current window must be opened first.
    Unopened(Vec<Arc<str>>),
    Refused(Refusal),
}

/// A budget that refuses a call.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: BudgetStatus,
    /// What the call would reserve in the budget.
    pub amount: NanoUsd,
    /// Only reservations of other calls leave too little, so their settlement may help. Otherwise only the reset or an
    /// override helps.
    pub is_reserved: bool,
}

impl Accounts {
    /// Creates accounts over a ledger without calls at the time `latest` or later, in Unix seconds.
    pub fn new(latest: i64) -> Self {
        Self {
            accounts: HashMap::new(),
            ids: BTreeSet::new(),
            budgets: HashMap::new(),
            users: HashMap::new(),
            calls: HashMap::new(),
            latest,
        }
    }

    /// Reserves what `amount` returns for each budget of a call, in all of them or in none. Returns whether it has any.
    ///
    /// # Errors
    /// Returns the first budget with too little settled money left, or else the first with too much reserved.
    pub fn admit(
        &mut self,
        request_id: &Arc<str>,
        scopes: &Scopes,
        max_cost: NanoUsd,
        amount: impl Fn(&Budget) -> NanoUsd,
        now: Timestamp,
    ) -> Result<bool, Denial> {
        let budgets = self.budgets(scopes, now);
        let (mut reserved, mut unopened, mut reservations) = (None, Vec::new(), Vec::new());
        for budget in &budgets {
            let Some(account) = self.accounts.get_mut(&budget.id) else {
                continue;
            };
            let balance = *account.window(now);
            if !balance.is_open {
                unopened.push(budget.id.clone());
                continue;
            }
            let (status, amount) = (account.status_of(balance, now), amount(budget));
            let refusal = |is_reserved, status| Refusal {
                status,
                amount,
                is_reserved,
            };
            if status.settled + amount > status.limit {
                return Err(Denial::Refused(refusal(false, status)));
            }
            if status.settled + status.reserved + amount > status.limit {
                reserved.get_or_insert(refusal(true, status));
            }
            reservations.push(Reservation {
                budget_id: budget.id.clone(),
                start: balance.window.start,
                amount,
            });
        }
        if !unopened.is_empty() {
            return Err(Denial::Unopened(unopened));
        }
        if let Some(refusal) = reserved {
            return Err(Denial::Refused(refusal));
        }
        for reservation in &reservations {
            if let Some(balance) = self.balance(reservation) {
                balance.reserved = balance.reserved + reservation.amount;
            }
        }
        let call = OpenCall {
            scopes: scopes.clone(),
            admitted: now,
            max_cost,
            reservations,
        };
        self.latest = self.latest.max(now.as_second() + 1);
        let is_budgeted = !call.reservations.is_empty();
        self.calls.insert(request_id.clone(), call);
        Ok(is_budgeted)
    }

    /// Adds `more` to what a call reserves in each of its budgets, in all of them or in none, and `max` to the most that it
    /// may cost. Returns whether it did.
    pub fn extend(
        &mut self,
        request_id: &str,
        more: impl Fn(&Budget) -> NanoUsd,
        max: NanoUsd,
        now: Timestamp,
    ) -> bool {
        let Some(call) = self.calls.get_mut(request_id) else {
            return false;
        };
        let mut growing = Vec::new();
        for reservation in &mut call.reservations {
            let Some(account) = self.accounts.get_mut(&reservation.budget_id) else {
                // The budget was removed while the call ran.
                continue;
            };
            let (more, limit) = (more(&account.budget), account.limit(now));
            let Some(balance) = account.starting_at(reservation.start) else {
                continue;
            };
            // A window of a budget that changed meanwhile has not been read yet, so what is left of it is unknown.
            if !balance.is_open || balance.settled + balance.reserved + more > limit {
                return false;
            }
            growing.push((reservation, more));
        }
        for (reservation, more) in growing {
            reservation.amount = reservation.amount + more;
            if let Some(account) = self.accounts.get_mut(&reservation.budget_id)
                && let Some(balance) = account.starting_at(reservation.start)
            {
                balance.reserved = balance.reserved + more;
            }
        }
        call.max_cost = call.max_cost + max;
        true
    }

    /// Replaces the reservations of a call by its cost, in every window that contains its admission. Returns the alert
    /// thresholds that this crosses.
    pub fn settle(
        &mut self,
        request_id: &str,
        cost: NanoUsd,
        now: Timestamp,
    ) -> Vec<ThresholdCrossed> {
        let Some(call) = self.calls.remove(request_id) else {
            return Vec::new();
        };
        for reservation in &call.reservations {
            if let Some(balance) = self.balance(reservation) {
                balance.reserved = NanoUsd(balance.reserved.0.saturating_sub(reservation.amount.0));
            }
        }
        let mut crossed = Vec::new();
        for scope in &call.scopes.all {
            for budget in self.budgets.get(scope).into_iter().flatten() {
                if let Some(account) = self.accounts.get_mut(&budget.id) {
                    crossed.extend(account.settle(call.admitted, cost, now));
                    account.drop_expired(now);
                    account.wake_fitting(now);
                }
            }
        }
        crossed
    }

    /// Corrects what a call with `scopes` that was admitted `at` has cost by `delta` nano-dollars.
    pub fn adjust(&mut self, scopes: &Scopes, at: Timestamp, delta: i64, now: Timestamp) {
        for scope in &scopes.all {
            for budget in self.budgets.get(scope).into_iter().flatten() {
                if let Some(account) = self.accounts.get_mut(&budget.id) {
                    account.adjust(at, delta);
                    account.wake_fitting(now);
                }
            }
        }
    }

    /// Returns a receiver that is woken when `amount` may fit into the budget.
    pub fn wait_for(&mut self, budget_id: &str, amount: NanoUsd) -> Option<oneshot::Receiver<()>> {
        self.accounts
            .get_mut(budget_id)
            .map(|account| account.wait_for(amount))
    }

    /// Returns the current windows of these budgets that must be read from the ledger. Settlements from now on are added
    /// to them.
    pub fn unopened(&mut self, budget_ids: &[Arc<str>], now: Timestamp) -> Vec<UnopenedWindow> {
        let windows = budget_ids.iter().filter_map(|id| {
            let account = self.accounts.get_mut(id)?;
            let balance = account.window(now);
            if balance.is_open {
                return None;
            }
            // What was settled since an earlier question is in the ledger by now.
            balance.settled = NanoUsd(0);
            Some(UnopenedWindow {
                budget_id: id.clone(),
                window: balance.window,
                scope: account.budget.scope.clone(),
            })
        });
        windows.collect()
    }

    /// Opens a window, in which the ledger had `settled` when it was asked.
    pub fn open(
        &mut self,
        window: &UnopenedWindow,
        settled: NanoUsd,
        overrides: Vec<LimitOverride>,
        now: Timestamp,
    ) {
        if let Some(account) = self.accounts.get_mut(&window.budget_id) {
            account.set_overrides(overrides);
            account.open(window.window.start, settled, now);
        }
    }

    /// Adds an override to those that apply already. Returns false if there is no such budget.
    pub fn override_limit(
        &mut self,
        id: &str,
        limit_override: LimitOverride,
        now: Timestamp,
    ) -> bool {
        let account = self.accounts.get_mut(id);
        account
            .map(|account| {
                account.add_override(limit_override);
                account.wake_fitting(now);
            })
            .is_some()
    }

    /// Returns the ids of at most `max` budgets after `last`, in order.
    pub fn ids_after(&self, last: Option<&Arc<str>>, max: usize) -> Vec<Arc<str>> {
        use std::ops::Bound;
        let after = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.clone()));
        self.ids
            .range((after, Bound::Unbounded))
            .take(max)
            .cloned()
            .collect()
    }

    /// Returns the ids of the budgets of `scope`.
    pub fn ids_of(&self, scope: &str) -> Vec<Arc<str>> {
        let budgets = self.budgets.get(scope).into_iter().flatten();
        budgets.map(|budget| budget.id.clone()).collect()
    }

    pub fn contains(&self, id: &str) -> bool {
        self.accounts.contains_key(id)
    }

    /// Returns the status of a budget, if there is one with this id and its current window is open.
    pub fn status(&self, id: &str, now: Timestamp) -> Option<BudgetStatus> {
        self.accounts.get(id)?.status(now)
    }

    /// Returns the most that a call in flight may cost.
    pub fn max_cost(&self, request_id: &str) -> Option<NanoUsd> {
        self.calls.get(request_id).map(|call| call.max_cost)
    }

    /// Returns the number of calls in flight, and when the oldest was admitted.
    pub fn open_calls(&self) -> (usize, Option<Timestamp>) {
        let oldest = self.calls.values().map(|call| call.admitted).min();
        (self.calls.len(), oldest)
    }

    fn balance(&mut self, reservation: &Reservation) -> Option<&mut Balance> {
        self.accounts
            .get_mut(&reservation.budget_id)?
            .starting_at(reservation.start)
    }
}

#[cfg(test)]
mod tests;
