//! What the writer writes: holds before a call, records after it.

use rusqlite::{Connection, Result, Row, params};

use crate::{
    call::{NanoUsd, Usage},
    ledger::record::{Entry, Kind, Record},
};

/// A hold of a call that may be running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    pub entry: Entry,
    /// The most that the call may cost.
    pub amount: NanoUsd,
}

/// SQLite's integers are signed; what does not fit is more money or time than there is.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub fn insert_hold(connection: &Connection, hold: &HoldRow) -> Result<()> {
    let HoldRow { entry: e, amount } = hold;
    connection
        .prepare_cached("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            &*e.request_id,
            e.at,
            int(amount.0),
            e.key_id,
            e.team,
            e.end_user,
            e.model,
            e.target,
            e.region,
            e.price
        ])
        .map(drop)
}

pub fn raise_hold(connection: &Connection, request_id: &str, amount: NanoUsd) -> Result<()> {
    connection
        .prepare_cached("UPDATE holds SET amount = ? WHERE request_id = ?")?
        .execute(params![int(amount.0), request_id])
        .map(drop)
}

/// The record, its roll-up, and the end of its hold: one transaction's work.
pub fn settle(connection: &Connection, record: &Record) -> Result<()> {
    insert_record(connection, record)?;
    sum_up(connection, record)?;
    delete_hold(connection, &record.entry.request_id)
}

pub fn delete_hold(connection: &Connection, request_id: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM holds WHERE request_id = ?")?
        .execute([request_id])
        .map(drop)
}

/// The roll-up alone, for a ledger that must not grow.
pub fn sum_up(connection: &Connection, record: &Record) -> Result<()> {
    let Record {
        entry,
        usage,
        cost,
        kind,
        ..
    } = record;
    roll_up(
        connection,
        entry,
        *kind,
        usage,
        cost.map_or(0, |cost| int(cost.0)),
    )
}

fn insert_record(connection: &Connection, record: &Record) -> Result<()> {
    let Record {
        entry: e,
        ended_at,
        usage: u,
        cost,
        kind,
        status,
        how,
        attempts,
    } = record;
    connection
        .prepare_cached(
            "INSERT INTO records (request_id, at, ended_at, key_id, team, end_user, model, target, region, input,
             cache_read, cache_write_5m, cache_write_1h, output, reasoning, server_tool_uses, price, cost, kind, status,
             how, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            int(u.input),
            int(u.cache_read),
            int(u.cache_write_5m()),
            int(u.cache_write_1h),
            int(u.output),
            int(u.reasoning),
            int(u.server_tool_uses),
            e.price,
            cost.map(|cost| int(cost.0)),
            kind.as_str(),
            status,
            how,
            attempts
        ])
        .map(drop)
}

/// A correction of an earlier record of the same call, below zero where too much was booked. Its usage is what the log
/// told, for reading; sums have only the money.
pub fn correct(
    connection: &Connection,
    entry: &Entry,
    usage: &Usage,
    delta: i64,
    now: i64,
) -> Result<()> {
    let record = Record {
        entry: entry.clone(),
        ended_at: now,
        usage: *usage,
        cost: None,
        kind: Kind::Adjust,
        status: "ok",
        how: "reconciled",
        attempts: 1,
    };
    insert_record(connection, &record)?;
    connection.execute(
        "UPDATE records SET cost = ? WHERE id = last_insert_rowid()",
        [delta],
    )?;
    roll_up(connection, entry, Kind::Adjust, &Usage::default(), delta)
}

/// `cost` may be negative: a correction.
pub fn roll_up(connection: &Connection, e: &Entry, kind: Kind, u: &Usage, cost: i64) -> Result<()> {
    let quarter = e.at.div_euclid(900_000) * 900;
    let calls = i64::from(kind != Kind::Adjust);
    connection
        .prepare_cached(
            "INSERT INTO rollups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT DO UPDATE SET calls = calls + ?7, input = input + ?8, cache_read = cache_read + ?9,
             cache_write = cache_write + ?10, output = output + ?11, cost = cost + ?12",
        )?
        .execute(params![
            quarter,
            e.key_id,
            e.team,
            e.end_user,
            e.model,
            kind.as_str(),
            calls,
            int(u.input),
            int(u.cache_read),
            int(u.cache_write),
            int(u.output),
            cost
        ])
        .map(drop)
}

pub fn holds(connection: &Connection) -> Result<Vec<HoldRow>> {
    let mut statement = connection.prepare("SELECT * FROM holds ORDER BY at")?;
    let rows = statement.query_map([], |row| {
        let amount: i64 = row.get("amount")?;
        Ok(HoldRow {
            entry: entry(row)?,
            amount: NanoUsd(u64::try_from(amount).unwrap_or(0)),
        })
    })?;
    rows.collect()
}

/// The members that holds and records have in common.
pub fn entry(row: &Row<'_>) -> Result<Entry> {
    let request_id: String = row.get("request_id")?;
    Ok(Entry {
        request_id: request_id.into(),
        at: row.get("at")?,
        key_id: row.get("key_id")?,
        team: row.get("team")?,
        end_user: row.get("end_user")?,
        model: row.get("model")?,
        target: row.get("target")?,
        region: row.get("region")?,
        price: row.get("price")?,
    })
}
