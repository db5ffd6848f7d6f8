//! Revokes virtual keys: first in memory, then in the ledger.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    error::ApiError,
    key_store::{KeyStore, audit, view},
};
use crate::governance::KeyRow;

/// How often the storing of a revocation is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A key that is rejected from now on.
pub struct Revocation {
    /// The public view of the key.
    pub key: Value,
    /// The ledger has the revocation. Otherwise the gateway keeps trying, and a restart would bring the key back.
    pub is_stored: bool,
}

impl KeyStore {
    /// Revokes a key. Its new requests are rejected from now on, also if that cannot be stored yet. Requests in flight may
    /// finish.
    pub async fn revoke(&self, id: &str, who: String) -> Result<Revocation, ApiError> {
        // Before anything that can fail: a leaked key must not work because a disk is full.
        let was_known = self.keys.revoke(id);
        match self.store_revocation(id, &who).await {
            Ok(key) => Ok(Revocation {
                key,
                is_stored: true,
            }),
            Err(error) => {
                let is_ledger = error.status == StatusCode::SERVICE_UNAVAILABLE;
                let retries = self.background.clone().filter(|_| was_known && is_ledger);
                let Some(background) = retries else {
                    return Err(error);
                };
                tracing::error!(
                    key_id = id,
                    error = error.message,
                    "a revoked key is rejected, but the revocation could not be stored; trying again"
                );
                self.retry_revocation(id.to_owned(), who, background);
                let key = json!({"id": id, "status": "revoked"});
                Ok(Revocation {
                    key,
                    is_stored: false,
                })
            }
        }
    }

    async fn store_revocation(&self, id: &str, who: &str) -> Result<Value, ApiError> {
        let _guard = self.changing.lock().await;
        let before = self.row(id).await?;
        let revoked_at = before.revoked_at.or(Some(Timestamp::now().as_second()));
        let row = KeyRow {
            revoked_at,
            ..before.clone()
        };
        let audit = audit(who.to_owned(), "key.revoke", Some(&before), &row);
        self.ledger.put_key(row.clone(), audit).await?;
        self.keys.revoke(id);
        Ok(view(&row))
    }

    /// Tries to store a revocation until it succeeds or the gateway ends.
    fn retry_revocation(
        &self,
        id: String,
        who: String,
        (tasks, shutdown): (TaskTracker, CancellationToken),
    ) {
        let store = self.clone();
        tasks.spawn(async move {
            let retry = async {
                loop {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    // A change that was under way may have put the key back.
                    store.keys.revoke(&id);
                    match store.store_revocation(&id, &who).await {
                        Ok(_) => return tracing::warn!(key_id = id, "a revocation was stored"),
                        Err(error) => tracing::error!(
                            key_id = id,
                            error = error.message,
                            "a revocation could not be stored"
                        ),
                    }
                }
            };
            shutdown.run_until_cancelled(retry).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use tokio::sync::mpsc;

    use super::*;
    use crate::{call::Team, edge::Keys, governance::Ledger, governance::StoreSettings};

    /// The settings of such a key are invalid, which must not keep it from being revoked for good.
    #[tokio::test]
    async fn key_whose_team_is_gone_can_be_revoked_and_not_rotated() {
        let (alerts, _) = mpsc::channel(1);
        let ledger = Ledger::open(&StoreSettings::in_memory(), alerts).await;
        let ledger = ledger.unwrap();
        let team = Arc::new(Team {
            name: "search".to_owned(),
            ..Team::default()
        });
        let teams = HashMap::from([("search".to_owned(), team)]);
        let store = |teams| KeyStore::new(Keys::default(), ledger.clone(), teams);
        let who = || "test".to_owned();
        let body = json!({"name": "app", "team": "search"});
        let made = store(teams.into_iter().collect()).create(body, who()).await;
        let id = made.unwrap()["key"]["id"].as_str().unwrap().to_owned();
        let without = store(Default::default());
        without.load().await.unwrap();
        assert_eq!(without.show(&id).await.unwrap()["status"], "refused");
        let rotated = without.rotate(&id, Duration::ZERO, who()).await;
        assert_eq!(rotated.unwrap_err().status, StatusCode::BAD_REQUEST);
        let revocation = without.revoke(&id, who()).await.unwrap();
        assert!(revocation.is_stored);
        assert_eq!(revocation.key["status"], "revoked");
    }
}
