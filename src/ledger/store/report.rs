//! What was spent, by whom, on what.

use rusqlite::{Connection, Result, params_from_iter, types::Value};

use crate::call::{Budget, NanoUsd};

/// What a report groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Key,
    Team,
    Model,
    EndUser,
    Day,
    Kind,
}

impl By {
    pub const ALL: [(&'static str, Self); 6] = [
        ("key", Self::Key),
        ("team", Self::Team),
        ("model", Self::Model),
        ("end_user", Self::EndUser),
        ("day", Self::Day),
        ("kind", Self::Kind),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(_, by)| *by == self)
            .map_or("", |(name, _)| name)
    }

    fn column(self) -> &'static str {
        match self {
            Self::Key => "key_id",
            Self::Team => "team",
            Self::Model => "model",
            Self::EndUser => "end_user",
            Self::Day => "date(quarter, 'unixepoch')",
            Self::Kind => "kind",
        }
    }
}

/// Which calls, grouped how. Times are Unix seconds; days are UTC's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub by: Vec<By>,
    pub since: i64,
    pub until: i64,
    /// Of one key alone.
    pub key_id: Option<String>,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The values of what it is grouped by, in that order.
    pub names: Vec<String>,
    pub calls: i64,
    pub input: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub output: i64,
    /// Nano-dollars. A group of corrections may be below zero.
    pub cost: i64,
}

/// The groups, dearest first.
pub fn report(connection: &Connection, report: &Report) -> Result<Vec<Group>> {
    let columns: Vec<&str> = report.by.iter().map(|by| by.column()).collect();
    let sums = "SUM(calls), SUM(input), SUM(cache_read), SUM(cache_write), SUM(output), SUM(cost)";
    let (mut sql, mut values) = (
        format!("SELECT {sums}"),
        vec![Value::from(report.since), Value::from(report.until)],
    );
    columns
        .iter()
        .for_each(|column| sql.push_str(&format!(", {column}")));
    sql.push_str(" FROM rollups WHERE quarter >= ? AND quarter < ?");
    if let Some(key_id) = &report.key_id {
        sql.push_str(" AND key_id = ?");
        values.push(Value::from(key_id.clone()));
    }
    if !columns.is_empty() {
        sql.push_str(&format!(" GROUP BY {}", columns.join(", ")));
    }
    sql.push_str(" HAVING SUM(calls) IS NOT NULL ORDER BY SUM(cost) DESC, SUM(calls) DESC");
    let mut statement = connection.prepare(&sql)?;
    let groups = statement.query_map(params_from_iter(values), |row| {
        let names = (6..6 + columns.len())
            .map(|at| row.get(at))
            .collect::<Result<_>>()?;
        Ok(Group {
            names,
            calls: row.get(0)?,
            input: row.get(1)?,
            cache_read: row.get(2)?,
            cache_write: row.get(3)?,
            output: row.get(4)?,
            cost: row.get(5)?,
        })
    })?;
    groups.collect()
}

/// What was settled of `budget` from `start` on.
pub fn settled(connection: &Connection, budget: &Budget, start: i64) -> Result<NanoUsd> {
    let (condition, values) = scope(&budget.scope);
    let sql = format!("SELECT COALESCE(SUM(cost), 0) FROM rollups WHERE quarter >= ? {condition}");
    let values = std::iter::once(Value::from(start)).chain(values.into_iter().map(Value::from));
    let sum: i64 = connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(NanoUsd(u64::try_from(sum).unwrap_or(0)))
}

/// The end users of a key that have spent something since `start`.
pub fn end_users(connection: &Connection, key_id: &str, start: i64) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT end_user FROM rollups WHERE quarter >= ? AND key_id = ? AND end_user != ''";
    let mut statement = connection.prepare(sql)?;
    let users = statement.query_map((start, key_id), |row| row.get(0))?;
    users.collect()
}

/// The calls that count for a scope, as a condition and its values.
fn scope(scope: &str) -> (&'static str, Vec<String>) {
    let own = |text: &str| vec![text.to_owned()];
    match scope.split_once(':') {
        Some(("team", team)) => ("AND team = ?", own(team)),
        Some(("model", model)) => ("AND model = ?", own(model)),
        Some(("key", key)) => match key.split_once("/user:") {
            Some((key, user)) => (
                "AND key_id = ? AND end_user = ?",
                vec![key.to_owned(), user.to_owned()],
            ),
            None => ("AND key_id = ?", own(key)),
        },
        _ => ("", Vec::new()),
    }
}
