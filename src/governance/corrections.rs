//! Operations besides holds: reconciliation with Bedrock's invocation log, limit overrides, reports, keys, the audit
//! log.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio::time::timeout;

use super::{
    Audit, KeyRow, Ledger, LimitOverride, ReportQuery, ReportRow, Scopes, WRITE_TIMEOUT, store,
};
use crate::{
    call::REQUEST_ID,
    model::Route,
    money::{NanoUsd, Price, Tier, Usage},
    openai::json_text,
};

/// The result of a reconciliation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Lines about calls of this gateway.
    pub matched: u64,
    /// Lines that are not entries of an invocation log, or have counts that no request can have.
    pub unreadable: u64,
    /// Records that were corrected.
    pub corrected: u64,
    /// Records left unchanged, because their price depends on more than the log says: tiers, long contexts, tools.
    pub skipped: u64,
    /// Records left unchanged, because the log cannot show their calls: it is silent about their route.
    pub not_comparable: u64,
    /// The sum of all corrections, in nano-dollars. Negative if less was due than was settled.
    pub delta: i64,
}

impl Reconciliation {
    /// Returns the result as it is shown and kept in the audit log.
    pub fn to_json(self) -> serde_json::Value {
        let sign = if self.delta < 0 { "-" } else { "" };
        let delta = NanoUsd(self.delta.unsigned_abs());
        serde_json::json!({
            "matched_lines": self.matched, "unreadable_lines": self.unreadable, "corrected_records": self.corrected,
            "left_records": self.skipped, "not_comparable_records": self.not_comparable, "delta_usd": format!("{sign}{delta}"),
        })
    }
}

/// What a line of Bedrock's model invocation log says about its caller. Lines about other calls may have any other members.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invoker {
    #[serde(default)]
    request_metadata: Option<HashMap<String, Value>>,
}

/// The members of a line about a call of this gateway that a reconciliation reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    /// Bedrock's own id of the request.
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    input: TokenCounts,
    #[serde(default)]
    output: TokenCounts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenCounts {
    /// The request, if the operator lets Bedrock log it.
    input_body_json: Option<Box<RawValue>>,
    input_token_count: u64,
    cache_read_input_token_count: u64,
    cache_write_input_token_count: u64,
    output_token_count: u64,
}

impl Invocation {
    fn usage(&self) -> Usage {
        let (input, output) = (&self.input, &self.output);
        let cache_write = input.cache_write_input_token_count;
        // The log does not say how long an entry of the cache lives. Unless the request does, it costs the most.
        let body = input.input_body_json.as_ref();
        let is_short = body.is_some_and(|body| !json_text::contains(body.get(), r#""1h""#));
        Usage {
            input: input.input_token_count,
            cache_read: input.cache_read_input_token_count,
            cache_write,
            cache_write_1h: if is_short { 0 } else { cache_write },
            output: output.output_token_count,
            ..Usage::default()
        }
    }
}

impl Ledger {
    /// Corrects estimated and presumed records from Bedrock's invocation log, which has one JSON object per line. If
    /// `complete` is set, the log has every invocation of that time, in Unix milliseconds, so that a call without one cost
    /// nothing, if its route is one that the log shows.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read or written.
    pub async fn reconcile(
        &self,
        log: &str,
        complete: Option<Range<i64>>,
        audit: Audit,
    ) -> Result<Reconciliation, String> {
        let _one = self.0.reconciling.lock().await;
        let mut reconciliation = Reconciliation::default();
        let mut by_request: HashMap<String, Usage> = HashMap::new();
        let mut invocations: HashSet<String> = HashSet::new();
        for line in log
            .trim_start_matches('\u{feff}')
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            let Ok(Invoker { request_metadata }) = serde_json::from_str(line) else {
                reconciliation.unreadable += 1;
                continue;
            };
            let metadata = request_metadata.unwrap_or_default();
            let Some(id) = metadata.get(REQUEST_ID).and_then(Value::as_str) else {
                continue;
            };
            let Ok(line) = serde_json::from_str::<Invocation>(line) else {
                reconciliation.unreadable += 1;
                continue;
            };
            // Logs that are put together may overlap.
            if let Some(invocation) = &line.request_id
                && !invocations.insert(invocation.clone())
            {
                continue;
            }
            let usage = line.usage();
            if !usage.is_plausible() {
                reconciliation.unreadable += 1;
                continue;
            }
            reconciliation.matched += 1;
            // A call may have sent several requests.
            let sum = by_request.entry(id.to_owned()).or_default();
            *sum = *sum + usage;
        }
        // What is settled by now must be in the store before it is searched.
        self.flush().await;
        let ids = by_request.keys().cloned().collect();
        let uncertain = self.0.store.uncertain_records(ids, complete).await?;
        for (entry, settled) in uncertain {
            let logged = by_request.get(&*entry.request_id).copied();
            // Whether such a call was billed is not known from its absence.
            if logged.is_none() && !entry.route.is_some_and(Route::is_logged) {
                reconciliation.not_comparable += 1;
                continue;
            }
            let usage = logged.unwrap_or_default();
            let Some(cost) =
                parse_price(&entry.price).and_then(|price| price.cost(&usage, Tier::Standard))
            else {
                reconciliation.skipped += 1;
                continue;
            };
            let signed = |money: NanoUsd| i64::try_from(money.0).unwrap_or(i64::MAX);
            let delta = signed(cost.total()) - signed(settled);
            // A window that is opened meanwhile would have the correction twice.
            let _none_opens = self.0.opening.lock().await;
            self.0.store.correct(entry.clone(), usage, delta).await?;
            if let Ok(at) = Timestamp::from_millisecond(entry.at) {
                let scopes = Scopes::of(&entry);
                self.accounts().adjust(&scopes, at, delta, self.now());
            }
            reconciliation.corrected += 1;
            reconciliation.delta += delta;
        }
        let audit = Audit {
            after: Some(reconciliation.to_json().to_string()),
            ..audit
        };
        let write = move |connection: &rusqlite::Connection| store::put_audit(connection, &audit);
        self.0.store.writer.run(write).await?;
        Ok(reconciliation)
    }

    /// Raises the limit of a budget until the override ends, and records who did it. Returns false if there is no such
    /// budget.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be written.
    pub async fn override_limit(
        &self,
        id: &str,
        limit_override: LimitOverride,
        reason: String,
        audit: Audit,
    ) -> Result<bool, String> {
        if !self.accounts().contains(id) {
            return Ok(false);
        }
        // A window that is opened meanwhile would read the override as well.
        let _none_opens = self.0.opening.lock().await;
        self.0
            .store
            .put_override(id.to_owned(), limit_override, reason, audit)
            .await?;
        let mut accounts = self.accounts();
        Ok(accounts.override_limit(id, limit_override, self.now()))
    }

    /// Runs a report over the settled costs, at most two at once.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read.
    pub async fn report(&self, report: ReportQuery) -> Result<Vec<ReportRow>, String> {
        let _permit = self
            .0
            .reports
            .acquire()
            .await
            .map_err(|error| error.to_string())?;
        self.flush().await;
        self.0
            .store
            .read(move |connection| store::run_report(connection, &report))
            .await
    }

    /// Returns every virtual key, including revoked ones, oldest first.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, String> {
        self.0.store.read(store::list_keys).await
    }

    /// Returns the virtual key with this id.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read.
    pub async fn key(&self, id: String) -> Result<Option<KeyRow>, String> {
        self.0
            .store
            .read(move |connection| store::find_key(connection, &id))
            .await
    }

    /// Writes a key and the audit entry of the change, in one transaction.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be written.
    pub async fn put_key(&self, key: KeyRow, audit: Audit) -> Result<(), String> {
        self.write(move |connection| {
            store::put_key(connection, &key)?;
            store::put_audit(connection, &audit)
        })
        .await
    }

    /// Writes the audit entry of an action that changes nothing in the ledger.
    ///
    /// # Errors
    /// As [`put_key`](Self::put_key).
    pub async fn put_audit(&self, audit: Audit) -> Result<(), String> {
        self.write(move |connection| store::put_audit(connection, &audit))
            .await
    }

    async fn write(
        &self,
        write: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), String> {
        timeout(WRITE_TIMEOUT, self.0.store.writer.run(write))
            .await
            .unwrap_or_else(|_| Err("the ledger did not answer in time".to_owned()))
    }

    /// Stores when keys were last used, in Unix seconds. Does nothing if the store cannot be written.
    pub async fn record_key_uses(&self, uses: Vec<(String, i64)>) {
        let write = move |connection: &rusqlite::Connection| {
            uses.iter()
                .try_for_each(|(id, at)| store::record_key_use(connection, id, *at))
        };
        let _ = self.0.store.writer.run(write).await;
    }

    /// Returns every end user of keys with a call since `since`, with its key and the quarter of an hour of its latest
    /// call, in Unix seconds.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read.
    pub async fn end_users(&self, since: i64) -> Result<Vec<(String, String, i64)>, String> {
        let query = move |connection: &rusqlite::Connection| store::end_users(connection, since);
        self.0.store.read(query).await
    }

    /// Returns the last `count` changes as JSON objects, newest first.
    ///
    /// # Errors
    /// Returns SQLite's message if the store cannot be read.
    pub async fn audit(&self, count: u32) -> Result<Vec<serde_json::Value>, String> {
        self.0
            .store
            .read(move |connection| store::list_audit(connection, count))
            .await
    }
}

/// Parses the price of a [`super::LedgerEntry`]. Returns none if it is unknown or has parts that the log does not show.
fn parse_price(text: &str) -> Option<Price> {
    let mut rates = text.split('/').map(|rate| rate.parse().ok());
    let mut price = Price::new(rates.next()??, rates.next()??);
    (price.cache_read, price.cache_write, price.cache_write_1h) = (
        rates.next().flatten(),
        rates.next().flatten(),
        rates.next().flatten(),
    );
    // A sixth member marks price components that cannot be computed from a line of the log.
    rates.next().is_none().then_some(price)
}
