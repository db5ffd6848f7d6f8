//! Reports on spending, computed from the roll-ups.

use rusqlite::{Connection, Result, params_from_iter, types::Value};

/// A dimension of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Key,
    Team,
    Model,
    EndUser,
    Day,
    Certainty,
}

impl GroupBy {
    pub const ALL: [(&'static str, Self); 6] = [
        ("key", Self::Key),
        ("team", Self::Team),
        ("model", Self::Model),
        ("end_user", Self::EndUser),
        ("day", Self::Day),
        ("kind", Self::Certainty),
    ];

    /// Returns the name in queries and reports.
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
            Self::Certainty => "kind",
        }
    }
}

/// Selects and groups the calls of a report. Times are Unix seconds, days are UTC's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportQuery {
    pub by: Vec<GroupBy>,
    pub since: i64,
    /// Exclusive.
    pub until: i64,
    /// Limits the report to one key.
    pub key_id: Option<String>,
}

/// One row of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// The values of the dimensions, in the order of [`ReportQuery::by`].
    pub names: Vec<String>,
    pub calls: i64,
    pub input: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub output: i64,
    /// In nano-dollars. Negative if corrections outweigh costs.
    pub cost: i64,
}

/// Returns the rows of a report, highest cost first.
pub fn run_report(connection: &Connection, query: &ReportQuery) -> Result<Vec<ReportRow>> {
    let columns: Vec<&str> = query.by.iter().map(|by| by.column()).collect();
    let sums = "SUM(calls), SUM(input), SUM(cache_read), SUM(cache_write), SUM(output), SUM(cost)";
    let (mut sql, mut values) = (
        format!("SELECT {sums}"),
        vec![Value::from(query.since), Value::from(query.until)],
    );
    columns
        .iter()
        .for_each(|column| sql.push_str(&format!(", {column}")));
    sql.push_str(" FROM rollups WHERE quarter >= ? AND quarter < ?");
    if let Some(key_id) = &query.key_id {
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
        Ok(ReportRow {
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
