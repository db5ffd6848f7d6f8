//! What the roll-ups have in windows of budgets.

use std::{collections::HashMap, fmt::Write};

use rusqlite::{Connection, Result, params_from_iter, types::Value};

use crate::{
    governance::{LimitOverride, accounts::UnopenedWindow},
    money::NanoUsd,
};

/// The number of windows from which one pass over all roll-ups is faster than a query for each.
const MANY: usize = 64;

/// Returns the settled cost and the overrides of each window.
pub fn read_windows(
    connection: &Connection,
    windows: &[UnopenedWindow],
) -> Result<Vec<(NanoUsd, Vec<LimitOverride>)>> {
    let settled = match windows.len() {
        0..MANY => windows
            .iter()
            .map(|window| settled_in(connection, window))
            .collect::<Result<_>>()?,
        _ => settled_in_all(connection, windows)?,
    };
    let mut overrides = read_overrides(connection)?;
    let with_overrides = windows.iter().zip(settled).map(|(window, settled)| {
        let settled = NanoUsd(u64::try_from(settled).unwrap_or(0));
        let overrides = overrides.remove(&*window.budget_id).unwrap_or_default();
        (settled, overrides)
    });
    Ok(with_overrides.collect())
}

/// Returns the end of the latest quarter of an hour with a record, in Unix seconds.
pub fn recorded_until(connection: &Connection) -> Result<i64> {
    let latest: Option<i64> =
        connection.query_row("SELECT MAX(quarter) FROM rollups", [], |row| row.get(0))?;
    Ok(latest.map_or(0, |quarter| quarter.saturating_add(900)))
}

/// Returns the salt of hashes of end users. It is empty in files of earlier versions.
pub fn salt(connection: &Connection) -> Result<Vec<u8>> {
    connection.query_row("SELECT value FROM meta WHERE name = 'salt'", [], |row| {
        row.get(0)
    })
}

/// Returns the secret that seals what clients keep for the gateway. Stores `new` as that secret if there is none.
pub fn seal_secret(connection: &Connection, new: &str) -> Result<String> {
    connection.execute(
        "INSERT OR IGNORE INTO meta (name, value) VALUES ('seal', ?)",
        [new],
    )?;
    connection.query_row("SELECT value FROM meta WHERE name = 'seal'", [], |row| {
        row.get(0)
    })
}

/// Returns every end user with a call since `since`, with its key and the quarter of its latest call, in Unix seconds.
pub fn end_users(connection: &Connection, since: i64) -> Result<Vec<(String, String, i64)>> {
    let mut statement = connection.prepare(
        "SELECT key_id, end_user, MAX(quarter) FROM rollups WHERE quarter >= ? AND end_user != ''
         GROUP BY key_id, end_user",
    )?;
    let users = statement.query_map([since], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    users.collect()
}

fn settled_in(connection: &Connection, window: &UnopenedWindow) -> Result<i64> {
    let (condition, values) = scope_condition(&window.scope);
    let sql = format!(
        "SELECT COALESCE(SUM(cost), 0) FROM rollups WHERE quarter >= ? AND quarter < ? {condition}"
    );
    let range = [window.window.start, window.window.end].map(Value::from);
    let values = range.into_iter().chain(values.into_iter().map(Value::from));
    connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(values), |row| row.get(0))
}

/// Sums the roll-ups of all windows in one pass.
fn settled_in_all(connection: &Connection, windows: &[UnopenedWindow]) -> Result<Vec<i64>> {
    let mut by_scope: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, window) in windows.iter().enumerate() {
        by_scope.entry(&window.scope).or_default().push(at);
    }
    let oldest = windows.iter().map(|window| window.window.start).min();
    let mut settled = vec![0i64; windows.len()];
    let mut statement = connection.prepare(
        "SELECT quarter, key_id, team, end_user, model, cost FROM rollups WHERE quarter >= ?",
    )?;
    let mut rows = statement.query([oldest])?;
    let mut scope = String::new();
    while let Some(row) = rows.next()? {
        let quarter: i64 = row.get(0)?;
        let text = |at: usize| {
            row.get_ref(at)
                .map(|value| value.as_str().unwrap_or_default())
        };
        let (key, team, user, model) = (text(1)?, text(2)?, text(3)?, text(4)?);
        let cost: i64 = row.get(5)?;
        let mut add = |scope: &str| {
            for at in by_scope.get(scope).into_iter().flatten() {
                let window = &windows[*at].window;
                if (window.start..window.end).contains(&quarter) {
                    settled[*at] = settled[*at].saturating_add(cost);
                }
            }
        };
        add("gateway");
        let mut add_named = |parts: std::fmt::Arguments<'_>| {
            scope.clear();
            // Writing to a string cannot fail.
            let _ = scope.write_fmt(parts);
            add(&scope);
        };
        add_named(format_args!("key:{key}"));
        add_named(format_args!("model:{model}"));
        if !team.is_empty() {
            add_named(format_args!("team:{team}"));
        }
        if !user.is_empty() {
            add_named(format_args!("key:{key}/user:{user}"));
        }
    }
    Ok(settled)
}

fn read_overrides(connection: &Connection) -> Result<HashMap<String, Vec<LimitOverride>>> {
    let mut statement = connection.prepare_cached("SELECT budget, amount, until FROM overrides")?;
    let mut rows = statement.query([])?;
    let mut overrides: HashMap<String, Vec<LimitOverride>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let by: i64 = row.get(1)?;
        overrides
            .entry(row.get(0)?)
            .or_default()
            .push(LimitOverride {
                by: NanoUsd(u64::try_from(by).unwrap_or(0)),
                until: row.get(2)?,
            });
    }
    Ok(overrides)
}

/// Returns the SQL condition, with its values, for the calls that count towards a scope.
fn scope_condition(scope: &str) -> (&'static str, Vec<String>) {
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
