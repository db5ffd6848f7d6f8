//! Opens windows of budgets with what the ledger already has in them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{HoldError, Ledger, scopes::key_scope, store};
use crate::{
    call::{Caller, EndUsers},
    money::Budget,
};

/// How long a call waits for its budgets to be read.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

impl Ledger {
    /// Sets the budgets of `scope`, which replace earlier ones, and reads what was spent of them.
    ///
    /// # Errors
    /// Returns SQLite's message if the ledger cannot be read.
    pub async fn set_budgets(&self, scope: &str, budgets: Vec<Arc<Budget>>) -> Result<(), String> {
        let ids: Vec<Arc<str>> = budgets.iter().map(|budget| budget.id.clone()).collect();
        self.accounts()
            .set_budgets(&scope.into(), budgets, self.now());
        self.open_windows(&ids).await
    }

    /// Sets the budgets of many scopes at once, which takes one pass over the ledger.
    ///
    /// # Errors
    /// Returns SQLite's message if the ledger cannot be read.
    pub async fn set_all_budgets(
        &self,
        budgets: impl IntoIterator<Item = Arc<Budget>>,
    ) -> Result<(), String> {
        let mut by_scope: HashMap<Arc<str>, Vec<Arc<Budget>>> = HashMap::new();
        let mut ids = Vec::new();
        for budget in budgets {
            ids.push(budget.id.clone());
            by_scope
                .entry(budget.scope.clone())
                .or_default()
                .push(budget);
        }
        for (scope, budgets) in by_scope {
            self.accounts().set_budgets(&scope, budgets, self.now());
        }
        self.open_windows(&ids).await
    }

    /// Sets the budgets that each end user of these keys has, and gives users an account again that have spent something
    /// lately. Their budgets are read at their next call.
    ///
    /// # Errors
    /// Returns SQLite's message if the ledger cannot be read.
    pub async fn restore_end_users<'a>(
        &self,
        callers: impl IntoIterator<Item = &'a Caller>,
    ) -> Result<(), String> {
        let with_users = callers
            .into_iter()
            .filter_map(|caller| Some((caller, caller.end_users.as_ref()?)));
        let with_users: Vec<(&Caller, &EndUsers)> = with_users.collect();
        if with_users.is_empty() {
            return Ok(());
        }
        let memory = with_users.iter().map(|(_, users)| users.memory()).max();
        let since = self.now().as_second() - seconds(memory.unwrap_or_default());
        let mut spent: HashMap<String, Vec<(i64, String)>> = HashMap::new();
        for (key_id, user, latest) in self.end_users(since).await? {
            spent.entry(key_id).or_default().push((latest, user));
        }
        for (caller, users) in with_users {
            let mut own = spent.remove(&caller.key_id).unwrap_or_default();
            own.sort_unstable_by(|a, b| b.cmp(a));
            let since = self.now().as_second() - seconds(users.memory());
            let recent = own.into_iter().take_while(|(latest, _)| *latest >= since);
            users.restore(&self.0.salt, recent.map(|(latest, user)| (user, latest)));
            self.accounts()
                .set_user_budgets(&caller.key_id, users.budgets.clone(), self.now());
        }
        Ok(())
    }

    /// Sets the budgets of a key and of its end users.
    ///
    /// # Errors
    /// Returns SQLite's message if the ledger cannot be read.
    pub async fn set_caller_budgets(&self, caller: &Caller) -> Result<(), String> {
        let scope = key_scope(&caller.key_id);
        self.set_budgets(&scope, caller.budgets.clone()).await?;
        if caller.end_users.is_none() {
            self.end_user_budgets(&caller.key_id);
        }
        self.restore_end_users([caller]).await
    }

    /// Ends the budgets of the end users of a key.
    pub fn end_user_budgets(&self, key_id: &str) {
        let now = self.now();
        self.accounts().set_user_budgets(key_id, Vec::new(), now);
    }

    /// Reads the current windows of these budgets from the ledger, unless they are open.
    ///
    /// # Errors
    /// Returns the reason if the ledger cannot be read.
    pub async fn open_windows(&self, budget_ids: &[Arc<str>]) -> Result<(), String> {
        if budget_ids.is_empty() {
            return Ok(());
        }
        // One at a time, so that calls that need the same window do not all read it.
        let _one = self.0.opening.lock().await;
        let (windows, read) = {
            let mut accounts = self.accounts();
            let windows = accounts.unopened(budget_ids, self.now());
            if windows.is_empty() {
                return Ok(());
            }
            // Asked under the lock: every settlement is either in the ledger before, or added to the window after.
            let asked = windows.clone();
            let read = self
                .0
                .store
                .writer
                .read_in_order(move |connection| store::read_windows(connection, &asked));
            (windows, read)
        };
        let settled = read.await?;
        let mut accounts = self.accounts();
        for (window, (settled, overrides)) in windows.iter().zip(settled) {
            accounts.open(window, settled, overrides, self.now());
        }
        Ok(())
    }

    /// Opens the windows that a call needs, within a bounded time.
    pub(super) async fn open_for_call(&self, budget_ids: &[Arc<str>]) -> Result<(), HoldError> {
        match timeout(OPEN_TIMEOUT, self.open_windows(budget_ids)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(error, "the budgets of a call cannot be read");
                Err(HoldError::StoreUnavailable)
            }
            Err(_) => {
                tracing::error!("the budgets of a call were not read in time");
                Err(HoldError::StoreUnavailable)
            }
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
