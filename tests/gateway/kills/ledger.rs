//! Reads the ledger's file, and checks it against what the simulator has billed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use jiff::{Timestamp, tz::TimeZone};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// What one call cost, or may cost.
#[derive(Debug)]
struct Line {
    request_id: String,
    at: i64,
    key: String,
    team: String,
    kind: String,
    cost: i64,
}

/// A budget, as this test understands it.
pub struct Terms {
    pub id: &'static str,
    /// The key or the team. Empty for all.
    pub owner: &'static str,
    pub timezone: &'static str,
    /// The format of a local time that is the same within a period and differs from any other.
    pub period: &'static str,
    /// In nano-dollars.
    pub limit: i64,
}

pub struct Ledger(Connection);

impl Ledger {
    pub fn open(path: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        Self(Connection::open_with_flags(path, flags).unwrap())
    }

    /// Keeps everybody else from writing until the connection is dropped.
    pub fn lock(self) -> Option<Self> {
        self.0.execute_batch("BEGIN IMMEDIATE").ok()?;
        Some(self)
    }

    fn lines(&self) -> Vec<Line> {
        let sql = "SELECT request_id, at, key_id, team, kind, COALESCE(cost, 0) FROM records
            UNION ALL SELECT request_id, at, key_id, team, 'hold', amount FROM holds";
        let mut statement = self.0.prepare(sql).unwrap();
        let lines = statement.query_map([], |row| {
            Ok(Line {
                request_id: row.get(0)?,
                at: row.get(1)?,
                key: row.get(2)?,
                team: row.get(3)?,
                kind: row.get(4)?,
                cost: row.get(5)?,
            })
        });
        lines.unwrap().map(Result::unwrap).collect()
    }

    /// Returns the number of records of each kind.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for line in self.lines() {
            *kinds.entry(line.kind).or_default() += 1;
        }
        kinds
    }

    /// Returns what is settled of `terms` in the period around `now`, in nano-dollars.
    pub fn settled(&self, terms: &Terms, now: Timestamp) -> i64 {
        let periods = self.periods(terms);
        periods
            .get(&terms.period_of(now))
            .copied()
            .unwrap_or_default()
    }

    fn periods(&self, terms: &Terms) -> BTreeMap<String, i64> {
        let mut periods = BTreeMap::new();
        for line in self.lines() {
            if ["", &line.key, &line.team].contains(&terms.owner) {
                let at = Timestamp::from_millisecond(line.at).unwrap();
                *periods.entry(terms.period_of(at)).or_default() += line.cost;
            }
        }
        periods
    }

    /// Checks that no budget was exceeded in any period, that every call is in the ledger once, and that nothing that was
    /// billed is missing.
    pub fn check(&self, budgets: &[Terms], bill: &BTreeMap<String, i64>) {
        for terms in budgets {
            for (period, spent) in self.periods(terms) {
                assert!(
                    spent <= terms.limit,
                    "{}: {spent} of {} are spent in {period}",
                    terms.id,
                    terms.limit
                );
            }
        }
        let (mut seen, mut estimated) = (BTreeSet::new(), BTreeSet::new());
        let mut cost: BTreeMap<String, i64> = BTreeMap::new();
        for line in self.lines() {
            *cost.entry(line.request_id.clone()).or_default() += line.cost;
            let is_first = line.kind == "adjust" || seen.insert(line.request_id.clone());
            assert!(is_first, "twice in the ledger: {line:?}");
            if line.kind == "estimated" {
                estimated.insert(line.request_id);
            }
        }
        for (id, billed) in bill {
            let settled = cost.get(id);
            // An estimate covers what arrived. The service may have written more.
            let least = if estimated.contains(id) { 1 } else { *billed };
            assert!(
                settled.is_some_and(|settled| *settled >= least),
                "{id}: {billed} were billed, and {settled:?} settled or reserved"
            );
        }
        let count = |sql: &str| -> i64 { self.0.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(
            count("SELECT COALESCE(SUM(cost), 0) FROM records"),
            count("SELECT COALESCE(SUM(cost), 0) FROM rollups"),
            "records and roll-ups differ"
        );
    }

    /// Checks that every call costs what was billed for it, to the nano-dollar.
    pub fn check_equal(&self, bill: &BTreeMap<String, i64>) {
        let mut cost: BTreeMap<String, i64> = BTreeMap::new();
        for line in self.lines() {
            assert_ne!(line.kind, "hold", "{line:?}");
            *cost.entry(line.request_id).or_default() += line.cost;
        }
        for (id, settled) in &cost {
            assert_eq!(
                *settled,
                bill.get(id).copied().unwrap_or_default(),
                "{id} was settled at another cost than billed"
            );
        }
        assert!(bill.keys().all(|id| cost.contains_key(id)));
    }
}

impl Terms {
    fn period_of(&self, at: Timestamp) -> String {
        let local = at.to_zoned(TimeZone::get(self.timezone).unwrap());
        local.strftime(self.period).to_string()
    }
}

/// Returns what the simulator has billed for each call, at the prices of the test's model, in nano-dollars.
pub fn bill(invocations: &[Value]) -> BTreeMap<String, i64> {
    let mut bill = BTreeMap::new();
    for line in invocations {
        let id = line["requestMetadata"]["lintel_request_id"]
            .as_str()
            .unwrap();
        let tokens = |part: &str, name: &str| line[part][name].as_i64().unwrap();
        *bill.entry(id.to_owned()).or_default() += tokens("input", "inputTokenCount") * 2000
            + tokens("output", "outputTokenCount") * 10_000;
    }
    bill
}

/// Runs `lintel ledger reconcile --complete` in `folder` with the whole bill.
pub fn reconcile(folder: &Path, invocations: &[Value]) -> Value {
    let lines: Vec<String> = invocations.iter().map(Value::to_string).collect();
    fs::write(folder.join("log.jsonl"), lines.join("\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lintel"))
        .args(["ledger", "reconcile", "log.jsonl", "--json"])
        .args(["--config", "lintel.toml"])
        .args(["--complete", &format!("1971-01-01..{}", Timestamp::now())])
        .current_dir(folder)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}
