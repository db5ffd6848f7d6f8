//! Virtual keys in memory: how they get there, and when they were last used.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::key_store::{KeyStore, virtual_key};
use crate::config::Teams;

/// How often the last use of keys is stored.
const LAST_USE_INTERVAL: Duration = Duration::from_secs(60);

impl KeyStore {
    /// Loads every key of the ledger into memory.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn load(&self) -> Result<(), String> {
        let mut loaded = Vec::new();
        for row in self.ledger.keys().await? {
            match self.settings(&row) {
                Ok(settings) => loaded.push((row, settings)),
                // Its team may have left the configuration. The key is rejected rather than used without its limits.
                Err(error) => {
                    self.keys.put(&row.id, None);
                    tracing::error!(
                        key_id = row.id,
                        error = error.message,
                        "a virtual key has invalid settings; its requests are rejected"
                    );
                }
            }
        }
        let callers = || loaded.iter().map(|(_, settings)| &*settings.caller);
        let budgets = callers().flat_map(|caller| caller.budgets.iter().cloned());
        self.ledger.set_all_budgets(budgets).await?;
        self.ledger.restore_end_users(callers()).await?;
        for (row, settings) in loaded {
            self.keys.put(&row.id, Some(virtual_key(&row, settings)));
        }
        Ok(())
    }

    /// Replaces the teams, and gives every key the terms of its own.
    ///
    /// # Errors
    /// If the ledger cannot be read. Then nothing changes.
    pub async fn set_teams(&self, teams: Teams) -> Result<(), String> {
        // A change that has read its key before must not put it back afterwards.
        let _guard = self.changing.lock().await;
        let old = self.teams.swap(Arc::new(teams));
        let loaded = self.load().await;
        if loaded.is_err() {
            self.teams.store(old);
        }
        loaded
    }

    /// Stores when keys were last used, until `shutdown`.
    pub async fn note_uses(self, shutdown: CancellationToken) {
        let mut noted: HashMap<String, i64> = HashMap::new();
        let mut last = false;
        while !last {
            tokio::select! {
                () = tokio::time::sleep(LAST_USE_INTERVAL) => {}
                () = shutdown.cancelled() => last = true,
            }
            let mut uses = self.keys.last_used();
            uses.retain(|(id, at)| *at > 0 && noted.insert(id.clone(), *at) != Some(*at));
            if !uses.is_empty() {
                self.ledger.record_key_uses(uses).await;
            }
        }
    }
}
