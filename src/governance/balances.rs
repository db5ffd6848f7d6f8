//! The settled and reserved amounts of each budget. Pure: every decision is one call under one lock.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use super::window::Window;
use crate::money::{Budget, NanoUsd};

/// The accounts of all budgets, by budget id.
#[derive(Debug, Default)]
pub struct Balances {
    accounts: HashMap<Arc<str>, Account>,
}

#[derive(Debug)]
struct Account {
    budget: Arc<Budget>,
    /// The current window, and earlier ones whose calls are still in flight.
    windows: Vec<Balance>,
    overrides: Vec<LimitOverride>,
}

/// The balance of one window of a budget.
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    pub window: Window,
    /// The settled cost. A correction may lower it.
    pub settled: NanoUsd,
    /// The sum of the reservations of calls in flight.
    pub reserved: NanoUsd,
    /// The highest threshold that was alerted, in percent of the limit.
    alerted: u8,
}

/// A temporary increase of a budget's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOverride {
    pub by: NanoUsd,
    /// When it ends, in Unix seconds.
    pub until: i64,
}

/// The part of a hold that is in one budget. It stays in the window in which its call was admitted.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub budget: Arc<Budget>,
    /// The start of that window, in Unix seconds.
    pub start: i64,
    pub amount: NanoUsd,
}

/// The limit and the balance of a budget in its current window.
#[derive(Clone, Debug)]
pub struct BudgetStatus {
    pub budget: Arc<Budget>,
    /// Includes overrides.
    pub limit: NanoUsd,
    pub settled: NanoUsd,
    pub reserved: NanoUsd,
    /// The end of the window, in Unix seconds.
    pub resets_at: i64,
}

impl BudgetStatus {
    /// Returns the limit less settled and reserved amounts, or zero if they exceed it.
    pub fn remaining(&self) -> NanoUsd {
        NanoUsd(
            self.limit
                .0
                .saturating_sub(self.settled.0)
                .saturating_sub(self.reserved.0),
        )
    }
}

/// Why a budget refuses a call.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The settled cost leaves too little. Only the reset or an override helps.
    Spent(BudgetStatus),
    /// Reservations of other calls leave too little. Their settlement may help.
    Reserved(BudgetStatus),
}

/// A settlement took a budget to one of its alert thresholds.
#[derive(Clone, Debug)]
pub struct ThresholdCrossed {
    /// The threshold, in percent of the limit.
    pub percent: u8,
    pub status: BudgetStatus,
}

impl Balances {
    /// Reserves each of `amounts` in its budget, in all of them or in none.
    ///
    /// # Errors
    /// Returns the first [`Refusal::Spent`], or else the first [`Refusal::Reserved`].
    pub fn reserve(
        &mut self,
        amounts: &[(Arc<Budget>, NanoUsd)],
        now: Timestamp,
    ) -> Result<Vec<Reservation>, Refusal> {
        let mut reserved = None;
        for (budget, amount) in amounts {
            let account = self.account(budget);
            let balance = *account.current(now);
            let status = account.budget_status(&balance, now);
            if status.settled + *amount > status.limit {
                return Err(Refusal::Spent(status));
            }
            if status.settled + status.reserved + *amount > status.limit {
                reserved.get_or_insert(status);
            }
        }
        if let Some(status) = reserved {
            return Err(Refusal::Reserved(status));
        }
        let reservations = amounts.iter().map(|(budget, amount)| {
            let balance = self.account(budget).current(now);
            balance.reserved = balance.reserved + *amount;
            Reservation {
                budget: budget.clone(),
                start: balance.window.start,
                amount: *amount,
            }
        });
        Ok(reservations.collect())
    }

    /// Grows each reservation by what `more` returns for its budget, all of them or none. Returns whether it did.
    pub fn extend(
        &mut self,
        reservations: &mut [Reservation],
        more: impl Fn(&Budget) -> NanoUsd,
        now: Timestamp,
    ) -> bool {
        let fits = reservations.iter().all(|reservation| {
            let (more, account) = (
                more(&reservation.budget),
                self.accounts.get(&reservation.budget.id),
            );
            let balance =
                account.and_then(|account| Some((account, account.find(reservation.start)?)));
            let Some((account, balance)) = balance else {
                return false;
            };
            balance.settled + balance.reserved + more <= account.limit(now)
        });
        if !fits {
            return false;
        }
        for reservation in reservations {
            let more = more(&reservation.budget);
            reservation.amount = reservation.amount + more;
            if let Some(balance) = self.find(&reservation.budget.id, reservation.start) {
                balance.reserved = balance.reserved + more;
            }
        }
        true
    }

    /// Replaces the reservations of a call with its cost. Returns the alert thresholds that this crosses.
    pub fn settle(
        &mut self,
        reservations: &[Reservation],
        cost: NanoUsd,
        now: Timestamp,
    ) -> Vec<ThresholdCrossed> {
        let mut crossed = Vec::new();
        for reservation in reservations {
            let Some(account) = self.accounts.get_mut(&reservation.budget.id) else {
                continue;
            };
            let limit = account.limit(now);
            if let Some(balance) = account
                .windows
                .iter_mut()
                .find(|balance| balance.window.start == reservation.start)
            {
                balance.reserved = NanoUsd(balance.reserved.0.saturating_sub(reservation.amount.0));
                balance.settled = balance.settled + cost;
                let percent = percent(balance.settled, limit);
                let reached = account
                    .budget
                    .alert_at
                    .iter()
                    .copied()
                    .filter(|at| *at <= percent)
                    .max();
                if let Some(reached) = reached.filter(|reached| *reached > balance.alerted) {
                    balance.alerted = reached;
                    let balance = *balance;
                    crossed.push(ThresholdCrossed {
                        percent: reached,
                        status: account.budget_status(&balance, now),
                    });
                }
            }
            account.drop_expired(now);
        }
        crossed
    }

    /// Adds `delta` nano-dollars to the settled cost of the window around `at` in each budget that `applies` accepts.
    pub fn adjust(&mut self, applies: impl Fn(&Budget) -> bool, at: Timestamp, delta: i64) {
        for account in self
            .accounts
            .values_mut()
            .filter(|account| applies(&account.budget))
        {
            let open = account
                .windows
                .iter_mut()
                .find(|balance| balance.window.contains(at));
            if let Some(balance) = open {
                balance.settled = NanoUsd(balance.settled.0.saturating_add_signed(delta));
            }
        }
    }

    /// Opens the account of a budget, with the settled cost of its current window.
    pub fn open_account(
        &mut self,
        budget: &Arc<Budget>,
        settled: NanoUsd,
        overrides: Vec<LimitOverride>,
        now: Timestamp,
    ) {
        let account = self.account(budget);
        account.overrides = overrides;
        let limit = account.limit(now);
        let balance = account.current(now);
        balance.settled = settled;
        // Thresholds crossed before a restart were alerted before it.
        let percent = percent(settled, limit);
        balance.alerted = budget
            .alert_at
            .iter()
            .copied()
            .filter(|at| *at <= percent)
            .max()
            .unwrap_or(0);
    }

    /// Adds an override to those that apply already. Returns false if there is no such budget.
    pub fn override_limit(&mut self, id: &str, limit_override: LimitOverride) -> bool {
        self.accounts
            .get_mut(id)
            .map(|account| account.overrides.push(limit_override))
            .is_some()
    }

    /// Removes the accounts that `is_removed` accepts, except those with reservations.
    pub fn remove_accounts(&mut self, is_removed: impl Fn(&Budget) -> bool) {
        self.accounts.retain(|_, account| {
            !is_removed(&account.budget)
                || account.windows.iter().any(|balance| balance.reserved.0 > 0)
        });
    }

    pub fn contains(&self, id: &str) -> bool {
        self.accounts.contains_key(id)
    }

    /// Returns the status of every budget that `wanted` accepts, sorted by id.
    pub fn budget_statuses(
        &mut self,
        wanted: impl Fn(&Budget) -> bool,
        now: Timestamp,
    ) -> Vec<BudgetStatus> {
        let picked = self
            .accounts
            .values_mut()
            .filter(|account| wanted(&account.budget));
        let mut all: Vec<BudgetStatus> = picked
            .map(|account| {
                let balance = *account.current(now);
                account.budget_status(&balance, now)
            })
            .collect();
        all.sort_by(|a, b| a.budget.id.cmp(&b.budget.id));
        all
    }

    /// Returns the account of a budget, and opens it if needed. The account takes over the terms of `budget`, so that a
    /// change of the configuration applies at once.
    fn account(&mut self, budget: &Arc<Budget>) -> &mut Account {
        let account = self
            .accounts
            .entry(budget.id.clone())
            .or_insert_with(|| Account {
                budget: budget.clone(),
                windows: Vec::new(),
                overrides: Vec::new(),
            });
        if !Arc::ptr_eq(&account.budget, budget) {
            account.budget = budget.clone();
        }
        account
    }

    fn find(&mut self, id: &str, start: i64) -> Option<&mut Balance> {
        self.accounts
            .get_mut(id)?
            .windows
            .iter_mut()
            .find(|balance| balance.window.start == start)
    }
}

impl Account {
    fn limit(&self, now: Timestamp) -> NanoUsd {
        let extra = self
            .overrides
            .iter()
            .filter(|limit_override| limit_override.until > now.as_second())
            .map(|limit_override| limit_override.by);
        self.budget.limit + extra.sum()
    }

    fn find(&self, start: i64) -> Option<&Balance> {
        self.windows
            .iter()
            .find(|balance| balance.window.start == start)
    }

    /// Returns the balance of the window around `now`. A new window starts at zero.
    fn current(&mut self, now: Timestamp) -> &mut Balance {
        let at = self
            .windows
            .iter()
            .position(|balance| balance.window.contains(now))
            .unwrap_or_else(|| {
                let window = Window::around(self.budget.per, &self.budget.timezone, now);
                self.windows.push(Balance {
                    window,
                    settled: NanoUsd(0),
                    reserved: NanoUsd(0),
                    alerted: 0,
                });
                self.drop_expired(now);
                self.windows.len() - 1
            });
        &mut self.windows[at]
    }

    /// Drops overrides that have ended, and past windows without reservations.
    fn drop_expired(&mut self, now: Timestamp) {
        self.overrides
            .retain(|limit_override| limit_override.until > now.as_second());
        self.windows
            .retain(|balance| balance.window.contains(now) || balance.reserved.0 > 0);
    }

    fn budget_status(&self, balance: &Balance, now: Timestamp) -> BudgetStatus {
        BudgetStatus {
            budget: self.budget.clone(),
            limit: self.limit(now),
            settled: balance.settled,
            reserved: balance.reserved,
            resets_at: balance.window.end,
        }
    }
}

fn percent(part: NanoUsd, of: NanoUsd) -> u8 {
    u8::try_from(u128::from(part.0) * 100 / u128::from(of.0.max(1))).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
