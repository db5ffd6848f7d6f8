//! What has been spent of each budget, and what is set aside. Pure: every decision is one call under one lock.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use super::window::Window;
use crate::call::{Budget, NanoUsd};

/// All budgets by their ids.
#[derive(Debug, Default)]
pub struct Balances {
    accounts: HashMap<Arc<str>, Account>,
}

#[derive(Debug)]
struct Account {
    budget: Arc<Budget>,
    /// The current window, and those before it in which calls are still running.
    windows: Vec<Balance>,
    raises: Vec<Raise>,
}

/// One window of one budget.
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    pub window: Window,
    /// Spent; a correction may take some of it back.
    pub settled: NanoUsd,
    /// Set aside for calls that are running.
    pub reserved: NanoUsd,
    /// The highest part of the limit, in percent, that somebody was told of.
    told: u8,
}

/// A temporary change of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    pub by: NanoUsd,
    /// Unix seconds.
    pub until: i64,
}

/// Where a part of a hold stands. A call belongs to the window in which it was admitted.
#[derive(Clone, Debug)]
pub struct Place {
    pub budget: Arc<Budget>,
    pub start: i64,
    pub amount: NanoUsd,
}

/// How a budget stands.
#[derive(Clone, Debug)]
pub struct Standing {
    pub budget: Arc<Budget>,
    /// With what an override adds.
    pub limit: NanoUsd,
    pub settled: NanoUsd,
    pub reserved: NanoUsd,
    /// Unix seconds.
    pub resets_at: i64,
}

impl Standing {
    pub fn remaining(&self) -> NanoUsd {
        NanoUsd(
            self.limit
                .0
                .saturating_sub(self.settled.0)
                .saturating_sub(self.reserved.0),
        )
    }
}

/// Why a call was not admitted.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Waiting cannot help before the reset.
    Spent(Standing),
    /// Only money that is set aside for other calls stands in the way.
    Reserved(Standing),
}

/// A budget has passed a part of its limit.
#[derive(Clone, Debug)]
pub struct Passed {
    pub percent: u8,
    pub standing: Standing,
}

impl Balances {
    /// Sets `asked` aside in every budget, or in none.
    ///
    /// # Errors
    /// The refusal that waiting helps least.
    pub fn reserve(
        &mut self,
        asked: &[(Arc<Budget>, NanoUsd)],
        now: Timestamp,
    ) -> Result<Vec<Place>, Refusal> {
        let mut reserved = None;
        for (budget, amount) in asked {
            let account = self.account(budget);
            let balance = *account.current(now);
            let standing = account.standing(&balance, now);
            if standing.settled + *amount > standing.limit {
                return Err(Refusal::Spent(standing));
            }
            if standing.settled + standing.reserved + *amount > standing.limit {
                reserved.get_or_insert(standing);
            }
        }
        if let Some(standing) = reserved {
            return Err(Refusal::Reserved(standing));
        }
        let places = asked.iter().map(|(budget, amount)| {
            let balance = self.account(budget).current(now);
            balance.reserved = balance.reserved + *amount;
            Place {
                budget: budget.clone(),
                start: balance.window.start,
                amount: *amount,
            }
        });
        Ok(places.collect())
    }

    /// Sets more aside where `more` says how much, in all places or in none.
    pub fn extend(
        &mut self,
        places: &mut [Place],
        more: impl Fn(&Budget) -> NanoUsd,
        now: Timestamp,
    ) -> bool {
        let fits = places.iter().all(|place| {
            let (more, account) = (more(&place.budget), self.accounts.get(&place.budget.id));
            let balance = account.and_then(|account| Some((account, account.find(place.start)?)));
            let Some((account, balance)) = balance else {
                return false;
            };
            balance.settled + balance.reserved + more <= account.limit(now)
        });
        if !fits {
            return false;
        }
        for place in places {
            let more = more(&place.budget);
            place.amount = place.amount + more;
            if let Some(balance) = self.find(&place.budget.id, place.start) {
                balance.reserved = balance.reserved + more;
            }
        }
        true
    }

    /// Takes a hold back and books what the call has cost. Tells the budgets that have passed a part of their limits.
    pub fn settle(&mut self, places: &[Place], cost: NanoUsd, now: Timestamp) -> Vec<Passed> {
        let mut passed = Vec::new();
        for place in places {
            let Some(account) = self.accounts.get_mut(&place.budget.id) else {
                continue;
            };
            let limit = account.limit(now);
            if let Some(balance) = account
                .windows
                .iter_mut()
                .find(|balance| balance.window.start == place.start)
            {
                balance.reserved = NanoUsd(balance.reserved.0.saturating_sub(place.amount.0));
                balance.settled = balance.settled + cost;
                let percent = percent(balance.settled, limit);
                let reached = account
                    .budget
                    .alert_at
                    .iter()
                    .copied()
                    .filter(|at| *at <= percent)
                    .max();
                if let Some(reached) = reached.filter(|reached| *reached > balance.told) {
                    balance.told = reached;
                    let balance = *balance;
                    passed.push(Passed {
                        percent: reached,
                        standing: account.standing(&balance, now),
                    });
                }
            }
            account.forget(now);
        }
        passed
    }

    /// Books what was learned later: a correction of what was settled at `at`.
    pub fn adjust(&mut self, ids: impl Fn(&Budget) -> bool, at: Timestamp, delta: i64) {
        for account in self
            .accounts
            .values_mut()
            .filter(|account| ids(&account.budget))
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

    /// Takes a budget up, with what is already spent of its current window.
    pub fn open(
        &mut self,
        budget: &Arc<Budget>,
        settled: NanoUsd,
        raises: Vec<Raise>,
        now: Timestamp,
    ) {
        let account = self.account(budget);
        account.raises = raises;
        let limit = account.limit(now);
        let balance = account.current(now);
        balance.settled = settled;
        // What was passed before the restart was told before it.
        let percent = percent(settled, limit);
        balance.told = budget
            .alert_at
            .iter()
            .copied()
            .filter(|at| *at <= percent)
            .max()
            .unwrap_or(0);
    }

    /// Beside those that hold already. False if there is no such budget.
    pub fn raise(&mut self, id: &str, raise: Raise) -> bool {
        self.accounts
            .get_mut(id)
            .map(|account| account.raises.push(raise))
            .is_some()
    }

    /// Takes budgets out in which nothing is set aside.
    pub fn drop_accounts(&mut self, gone: impl Fn(&Budget) -> bool) {
        self.accounts.retain(|_, account| {
            !gone(&account.budget) || account.windows.iter().any(|balance| balance.reserved.0 > 0)
        });
    }

    pub fn knows(&self, id: &str) -> bool {
        self.accounts.contains_key(id)
    }

    /// Every budget that `wanted` picks.
    pub fn standings(&mut self, wanted: impl Fn(&Budget) -> bool, now: Timestamp) -> Vec<Standing> {
        let picked = self
            .accounts
            .values_mut()
            .filter(|account| wanted(&account.budget));
        let mut all: Vec<Standing> = picked
            .map(|account| {
                let balance = *account.current(now);
                account.standing(&balance, now)
            })
            .collect();
        all.sort_by(|a, b| a.budget.id.cmp(&b.budget.id));
        all
    }

    /// The account of a budget; its terms are those of the last call, so that a change of the configuration counts.
    fn account(&mut self, budget: &Arc<Budget>) -> &mut Account {
        let account = self
            .accounts
            .entry(budget.id.clone())
            .or_insert_with(|| Account {
                budget: budget.clone(),
                windows: Vec::new(),
                raises: Vec::new(),
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
        let raised = self
            .raises
            .iter()
            .filter(|raise| raise.until > now.as_second())
            .map(|raise| raise.by);
        self.budget.limit + raised.sum()
    }

    fn find(&self, start: i64) -> Option<&Balance> {
        self.windows
            .iter()
            .find(|balance| balance.window.start == start)
    }

    /// The balance of the window around `now`; a new one begins with nothing.
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
                    told: 0,
                });
                self.forget(now);
                self.windows.len() - 1
            });
        &mut self.windows[at]
    }

    /// Windows that are over, and in which nothing runs any more.
    fn forget(&mut self, now: Timestamp) {
        self.raises.retain(|raise| raise.until > now.as_second());
        self.windows
            .retain(|balance| balance.window.contains(now) || balance.reserved.0 > 0);
    }

    fn standing(&self, balance: &Balance, now: Timestamp) -> Standing {
        Standing {
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
