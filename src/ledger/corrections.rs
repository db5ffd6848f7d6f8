//! What is learned or decided after calls have ended: the true cost of presumed ones, raised limits, keys.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Audit, Group, KeyRow, Ledger, Raise, Report, store};
use crate::call::{Budget, NanoUsd, Price, REQUEST_ID, Tier, Usage};

/// What a reconciliation has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Lines that told of a call of this gateway.
    pub matched: u64,
    /// Lines that are not an invocation log's.
    pub unreadable: u64,
    /// Records that were corrected.
    pub corrected: u64,
    /// Records whose price depends on more than the log tells: tiers, longer contexts, tools.
    pub left: u64,
    /// Nano-dollars: what the records cost more, or less, than was booked.
    pub delta: i64,
}

/// A line of Bedrock's model invocation log, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    #[serde(default)]
    request_metadata: HashMap<String, String>,
    #[serde(default)]
    input: Counts,
    #[serde(default)]
    output: Counts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Counts {
    input_token_count: u64,
    cache_read_input_token_count: u64,
    cache_write_input_token_count: u64,
    output_token_count: u64,
}

impl Ledger {
    /// Corrects estimated and presumed records from Bedrock's invocation log: one JSON object a line.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn reconcile(&self, log: &str) -> Result<Reconciled, String> {
        // Two at once would correct twice.
        let _one = self.0.reconciling.lock().await;
        let mut done = Reconciled::default();
        let mut by_request: HashMap<String, Usage> = HashMap::new();
        for line in log.lines().filter(|line| !line.trim().is_empty()) {
            let Ok(line) = serde_json::from_str::<Invocation>(line) else {
                done.unreadable += 1;
                continue;
            };
            let Some(id) = line.request_metadata.get(REQUEST_ID) else {
                continue;
            };
            done.matched += 1;
            let usage = Usage {
                input: line.input.input_token_count,
                cache_read: line.input.cache_read_input_token_count,
                cache_write: line.input.cache_write_input_token_count,
                output: line.output.output_token_count,
                ..Usage::default()
            };
            // Several requests may answer one call.
            let sum = by_request.entry(id.clone()).or_default();
            *sum = *sum + usage;
        }
        let uncertain = self
            .0
            .store
            .uncertain(by_request.keys().cloned().collect())
            .await?;
        for (entry, booked) in uncertain {
            let Some(usage) = by_request.get(&*entry.request_id) else {
                continue;
            };
            let Some(cost) =
                price(&entry.price).and_then(|price| price.cost(usage, Tier::Standard))
            else {
                done.left += 1;
                continue;
            };
            let signed = |money: NanoUsd| i64::try_from(money.0).unwrap_or(i64::MAX);
            let delta = signed(cost.total()) - signed(booked);
            self.0.store.correct(entry.clone(), *usage, delta).await?;
            if let Ok(at) = Timestamp::from_millisecond(entry.at) {
                self.balances()
                    .adjust(|budget| concerns(budget, &entry), at, delta);
            }
            done.corrected += 1;
            done.delta += delta;
        }
        Ok(done)
    }

    /// Raises the limit of a budget for a time. False if there is no such budget.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn raise(
        &self,
        id: &str,
        raise: Raise,
        reason: String,
        audit: Audit,
    ) -> Result<bool, String> {
        if !self.balances().knows(id) {
            return Ok(false);
        }
        self.0
            .store
            .put_override(id.to_owned(), raise, reason, audit)
            .await?;
        Ok(self.balances().raise(id, raise))
    }

    /// # Errors
    /// If the store cannot be read.
    pub async fn report(&self, report: Report) -> Result<Vec<Group>, String> {
        let _permit = self
            .0
            .reports
            .acquire()
            .await
            .map_err(|error| error.to_string())?;
        self.flush().await;
        self.0
            .store
            .read(move |connection| store::report(connection, &report))
            .await
    }

    /// Every virtual key, revoked ones too.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, String> {
        self.0.store.writer.run(store::keys).await
    }

    /// # Errors
    /// If the store cannot be read.
    pub async fn key(&self, id: String) -> Result<Option<KeyRow>, String> {
        self.0
            .store
            .writer
            .run(move |connection| store::one(connection, &id))
            .await
    }

    /// Writes a key, and who changed it.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn put_key(&self, key: KeyRow, audit: Audit) -> Result<(), String> {
        let write = move |connection: &rusqlite::Connection| {
            store::put(connection, &key)?;
            store::put_audit(connection, &audit)
        };
        self.0.store.writer.run(write).await
    }

    /// Remembers that a key was used. Lost if the store cannot be written.
    pub async fn key_used(&self, id: String, at: i64) {
        let _ = self
            .0
            .store
            .writer
            .run(move |connection| store::used(connection, &id, at))
            .await;
    }

    /// The last changes, newest first, as JSON objects.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn audit(&self, count: u32) -> Result<Vec<serde_json::Value>, String> {
        self.0
            .store
            .writer
            .run(move |connection| store::audit(connection, count))
            .await
    }
}

/// Does a call count for this budget?
fn concerns(budget: &Budget, entry: &super::Entry) -> bool {
    let super::Entry {
        key_id,
        team,
        end_user,
        model,
        ..
    } = entry;
    let scope = &*budget.scope;
    scope == "gateway"
        || scope == format!("team:{team}")
        || scope == format!("key:{key_id}")
        || scope == format!("model:{model}")
        || scope == format!("key:{key_id}/user:{end_user}")
}

/// The price that a record was made with.
fn price(text: &str) -> Option<Price> {
    let mut rates = text.split('/').map(|rate| rate.parse().ok());
    let mut price = Price::new(rates.next()??, rates.next()??);
    (price.cache_read, price.cache_write, price.cache_write_1h) = (
        rates.next().flatten(),
        rates.next().flatten(),
        rates.next().flatten(),
    );
    // What a line of the log does not tell cannot be priced from it.
    rates.next().is_none().then_some(price)
}
