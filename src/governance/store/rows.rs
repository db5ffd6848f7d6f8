//! The rows that the writer writes: holds before a call, records and roll-ups after it.

use std::{collections::HashSet, ops::Range, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::{
    governance::record::{Certainty, LedgerEntry, Record},
    model::Route,
    money::{NanoUsd, Usage},
};

/// The hold of a call that may be in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    pub entry: LedgerEntry,
    /// The most that the call may cost.
    pub amount: NanoUsd,
}

/// The largest number in a column. No real amount gets that large, and sums of a thousand such numbers still fit.
const MAX: i64 = 1 << 53;

/// Saturates, because SQLite turns a sum that overflows into a float.
fn to_i64(value: u64) -> i64 {
    i64::try_from(value).map_or(MAX, |value| value.min(MAX))
}

/// Empty if the route is unknown.
fn route_name(entry: &LedgerEntry) -> &'static str {
    entry.route.map_or("", Route::as_str)
}

/// Inserts or replaces a hold.
pub fn insert_hold(connection: &Connection, hold: &HoldRow) -> Result<()> {
    let HoldRow { entry: e, amount } = hold;
    connection
        .prepare_cached("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            &*e.request_id,
            e.at,
            to_i64(amount.0),
            e.key_id,
            e.team,
            e.end_user,
            e.model,
            e.target,
            e.region,
            e.price,
            route_name(e)
        ])
        .map(drop)
}

/// Sets the amount of a hold that has grown.
pub fn extend_hold(connection: &Connection, request_id: &str, amount: NanoUsd) -> Result<()> {
    connection
        .prepare_cached("UPDATE holds SET amount = ? WHERE request_id = ?")?
        .execute(params![to_i64(amount.0), request_id])
        .map(drop)
}

/// Inserts a record, adds it to its roll-up, and deletes its hold. Run it in one transaction.
pub fn settle(connection: &Connection, record: &Record) -> Result<()> {
    insert_record(connection, record)?;
    roll_up_record(connection, record)?;
    delete_hold(connection, &record.entry.request_id)
}

/// Deletes a hold, if it exists.
pub fn delete_hold(connection: &Connection, request_id: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM holds WHERE request_id = ?")?
        .execute([request_id])
        .map(drop)
}

/// Adds a record to its roll-up only, for a store in memory, which must not grow with every call.
pub fn roll_up_record(connection: &Connection, record: &Record) -> Result<()> {
    let Record {
        entry,
        usage,
        cost,
        certainty,
        ..
    } = record;
    roll_up(
        connection,
        entry,
        *certainty,
        usage,
        cost.map_or(0, |cost| to_i64(cost.0)),
    )
}

fn insert_record(connection: &Connection, record: &Record) -> Result<()> {
    let Record {
        entry: e,
        ended_at,
        usage: u,
        cost,
        certainty,
        status,
        how,
        attempts,
    } = record;
    connection
        .prepare_cached(
            "INSERT INTO records (request_id, at, ended_at, key_id, team, end_user, model, target, region, route,
             input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, server_tool_uses, price, cost, kind,
             status, how, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            &*e.request_id,
            e.at,
            ended_at,
            e.key_id,
            e.team,
            e.end_user,
            e.model,
            e.target,
            e.region,
            route_name(e),
            to_i64(u.input),
            to_i64(u.cache_read),
            to_i64(u.cache_write_5m()),
            to_i64(u.cache_write_1h),
            to_i64(u.output),
            to_i64(u.reasoning),
            to_i64(u.server_tool_uses),
            e.price,
            cost.map(|cost| to_i64(cost.0)),
            certainty.as_str(),
            status,
            how,
            attempts
        ])
        .map(drop)
}

/// Inserts a correction of an earlier record of the same call. `delta` is in nano-dollars, and negative if too much was
/// settled. The record shows the usage from the invocation log, but the roll-up gets only the money.
pub fn correct(
    connection: &Connection,
    entry: &LedgerEntry,
    usage: &Usage,
    delta: i64,
    now: i64,
) -> Result<()> {
    let record = Record {
        entry: entry.clone(),
        ended_at: now,
        usage: *usage,
        cost: None,
        certainty: Certainty::Adjust,
        status: "ok",
        how: "reconciled",
        attempts: 1,
    };
    insert_record(connection, &record)?;
    connection.execute(
        "UPDATE records SET cost = ? WHERE id = last_insert_rowid()",
        [delta],
    )?;
    roll_up(
        connection,
        entry,
        Certainty::Adjust,
        &Usage::default(),
        delta,
    )
}

/// Adds a call or a correction to its roll-up. `cost` is in nano-dollars, and may be negative for a correction.
pub fn roll_up(
    connection: &Connection,
    e: &LedgerEntry,
    certainty: Certainty,
    u: &Usage,
    cost: i64,
) -> Result<()> {
    let quarter = e.at.div_euclid(900_000) * 900;
    let calls = i64::from(certainty != Certainty::Adjust);
    connection
        .prepare_cached(
            "INSERT INTO rollups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT DO UPDATE SET calls = calls + ?7, input = MIN(input + ?8, ?13),
             cache_read = MIN(cache_read + ?9, ?13), cache_write = MIN(cache_write + ?10, ?13),
             output = MIN(output + ?11, ?13), cost = MIN(cost + ?12, ?13)",
        )?
        .execute(params![
            quarter,
            e.key_id,
            e.team,
            e.end_user,
            e.model,
            certainty.as_str(),
            calls,
            to_i64(u.input),
            to_i64(u.cache_read),
            to_i64(u.cache_write),
            to_i64(u.output),
            cost.min(MAX),
            MAX
        ])
        .map(drop)
}

/// Returns the estimated and presumed records of these calls, and of all calls that were admitted within `all`, in Unix
/// milliseconds, each with its settled cost. Leaves out what was corrected before.
pub fn uncertain_records(
    connection: &Connection,
    request_ids: &[String],
    all: Option<Range<i64>>,
) -> Result<Vec<(LedgerEntry, NanoUsd)>> {
    let sql = |which: &str| {
        format!(
            "SELECT * FROM records AS r WHERE {which} AND kind IN ('presumed', 'estimated')
             AND NOT EXISTS (SELECT 1 FROM records WHERE request_id = r.request_id AND kind = 'adjust')"
        )
    };
    let read = |row: &Row<'_>| {
        let cost: Option<i64> = row.get("cost")?;
        let cost = NanoUsd(u64::try_from(cost.unwrap_or(0)).unwrap_or(0));
        Ok((read_entry(row)?, cost))
    };
    let mut uncertain = Vec::new();
    let mut by_id = connection.prepare(&sql("request_id = ?"))?;
    for id in request_ids {
        uncertain.extend(by_id.query_row([id], read).optional()?);
    }
    if let Some(all) = all {
        let seen: HashSet<Arc<str>> = uncertain
            .iter()
            .map(|(entry, _)| entry.request_id.clone())
            .collect();
        let mut by_time = connection.prepare(&sql("at >= ? AND at < ?"))?;
        for found in by_time.query_map([all.start, all.end], read)? {
            let (entry, cost) = found?;
            if !seen.contains(&entry.request_id) {
                uncertain.push((entry, cost));
            }
        }
    }
    Ok(uncertain)
}

/// Returns all holds, oldest first.
pub fn holds(connection: &Connection) -> Result<Vec<HoldRow>> {
    let mut statement = connection.prepare("SELECT * FROM holds ORDER BY at")?;
    let rows = statement.query_map([], |row| {
        let amount: i64 = row.get("amount")?;
        Ok(HoldRow {
            entry: read_entry(row)?,
            amount: NanoUsd(u64::try_from(amount).unwrap_or(0)),
        })
    })?;
    rows.collect()
}

/// Reads the columns that holds and records have in common.
pub fn read_entry(row: &Row<'_>) -> Result<LedgerEntry> {
    let request_id: String = row.get("request_id")?;
    Ok(LedgerEntry {
        request_id: request_id.into(),
        at: row.get("at")?,
        key_id: row.get("key_id")?,
        team: row.get("team")?,
        end_user: row.get("end_user")?,
        model: row.get("model")?,
        target: row.get("target")?,
        region: row.get("region")?,
        route: Route::from_name(&row.get::<_, String>("route")?),
        price: row.get("price")?,
    })
}
