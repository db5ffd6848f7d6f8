//! The terms of budgets, and the accounts that follow them.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Accounts, Reservation};
use crate::{
    governance::{account::Account, scopes::Scopes},
    money::Budget,
};

impl Accounts {
    /// Replaces the budgets of `scope`. An account whose period did not change keeps its balance. Calls in flight count
    /// towards new budgets too.
    pub fn set_budgets(&mut self, scope: &Arc<str>, budgets: Vec<Arc<Budget>>, now: Timestamp) {
        for old in self.budgets.remove(scope).unwrap_or_default() {
            let same_windows = |new: &Arc<Budget>| {
                new.id == old.id && new.per == old.per && new.timezone == old.timezone
            };
            if !budgets.iter().any(same_windows) {
                self.remove_account(&old.id);
            }
        }
        for budget in &budgets {
            match self.accounts.get_mut(&budget.id) {
                Some(account) => {
                    account.budget = budget.clone();
                    account.wake_fitting(now);
                }
                None => self.add_account(budget.clone(), now),
            }
        }
        if !budgets.is_empty() {
            self.budgets.insert(scope.clone(), budgets);
        }
    }

    /// Replaces the budgets that each end user of `key_id` has.
    pub fn set_user_budgets(&mut self, key_id: &str, budgets: Vec<Arc<Budget>>, now: Timestamp) {
        let users = self.users.entry(key_id.into()).or_default();
        users.templates = budgets.clone();
        for scope in users.scopes.clone() {
            self.set_budgets(&scope, copies(&budgets, &scope), now);
        }
    }

    /// Returns the budgets that apply to a call with `scopes`.
    pub fn budgets(&mut self, scopes: &Scopes, now: Timestamp) -> Vec<Arc<Budget>> {
        if let (Some(key_id), Some(scope)) = (&scopes.user_of, scopes.all.last())
            && !self.budgets.contains_key(scope)
            && let Some(users) = self.users.get_mut(key_id)
            && !users.templates.is_empty()
        {
            users.scopes.push(scope.clone());
            let own = copies(&users.templates, scope);
            self.set_budgets(scope, own, now);
        }
        scopes
            .all
            .iter()
            .filter_map(|scope| self.budgets.get(scope))
            .flatten()
            .cloned()
            .collect()
    }

    fn add_account(&mut self, budget: Arc<Budget>, now: Timestamp) {
        let mut account = Account::new(budget.clone(), self.latest, now);
        for call in self.calls.values_mut() {
            if call.scopes.contains(&budget.scope) {
                let balance = account.window(call.admitted);
                balance.reserved = balance.reserved + call.max_cost;
                call.reservations.push(Reservation {
                    budget_id: budget.id.clone(),
                    start: balance.window.start,
                    amount: call.max_cost,
                });
            }
        }
        account.drop_expired(now);
        self.ids.insert(budget.id.clone());
        self.accounts.insert(budget.id.clone(), account);
    }

    fn remove_account(&mut self, id: &Arc<str>) {
        self.ids.remove(id);
        self.accounts.remove(id);
        for call in self.calls.values_mut() {
            call.reservations
                .retain(|reservation| reservation.budget_id != *id);
        }
    }
}

fn copies(templates: &[Arc<Budget>], scope: &str) -> Vec<Arc<Budget>> {
    let copy = |budget: &Arc<Budget>| Arc::new(budget.of(scope));
    templates.iter().map(copy).collect()
}
