//! Virtual keys, and what was changed by whom.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

/// A key that was made at run time. Of its secrets only digests are kept, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The public part of the secret.
    pub id: String,
    pub name: String,
    pub sha256: String,
    /// The secret before the last rotation, and until when it still holds (Unix seconds).
    pub old_sha256: Option<String>,
    pub old_until: Option<i64>,
    /// JSON of the members that a key has in the configuration.
    pub settings: String,
    /// JSON, the operator's own.
    pub metadata: String,
    /// Unix seconds, as all times here.
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    /// To the minute.
    pub last_used_at: Option<i64>,
}

/// One change that somebody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Unix seconds.
    pub at: i64,
    pub who: String,
    pub action: &'static str,
    /// The key or the budget.
    pub subject: String,
    /// JSON, without secrets and digests.
    pub before: Option<String>,
    pub after: Option<String>,
    pub reason: String,
}

pub fn keys(connection: &Connection) -> Result<Vec<KeyRow>> {
    let mut statement = connection.prepare("SELECT * FROM keys ORDER BY created_at, id")?;
    let rows = statement.query_map([], key)?;
    rows.collect()
}

pub fn one(connection: &Connection, id: &str) -> Result<Option<KeyRow>> {
    connection
        .query_row("SELECT * FROM keys WHERE id = ?", [id], key)
        .optional()
}

fn key(row: &Row<'_>) -> Result<KeyRow> {
    Ok(KeyRow {
        id: row.get("id")?,
        name: row.get("name")?,
        sha256: row.get("sha256")?,
        old_sha256: row.get("old_sha256")?,
        old_until: row.get("old_until")?,
        settings: row.get("settings")?,
        metadata: row.get("metadata")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        revoked_at: row.get("revoked_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

/// Writes the key as it is now, new or not.
pub fn put(connection: &Connection, k: &KeyRow) -> Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO keys (id, name, sha256, old_sha256, old_until, settings, metadata, created_at,
             expires_at, revoked_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                k.id,
                k.name,
                k.sha256,
                k.old_sha256,
                k.old_until,
                k.settings,
                k.metadata,
                k.created_at,
                k.expires_at,
                k.revoked_at,
                k.last_used_at
            ],
        )
        .map(drop)
}

pub fn used(connection: &Connection, id: &str, at: i64) -> Result<()> {
    connection
        .execute(
            "UPDATE keys SET last_used_at = ? WHERE id = ?",
            params![at, id],
        )
        .map(drop)
}

pub fn put_audit(connection: &Connection, a: &Audit) -> Result<()> {
    connection
        .execute(
            "INSERT INTO audit (at, who, action, subject, before, after, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![a.at, a.who, a.action, a.subject, a.before, a.after, a.reason],
        )
        .map(drop)
}

/// The last `count` changes, newest first, as JSON objects.
pub fn audit(connection: &Connection, count: u32) -> Result<Vec<serde_json::Value>> {
    let mut statement = connection.prepare("SELECT * FROM audit ORDER BY id DESC LIMIT ?")?;
    let json = |text: Option<String>| {
        text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
    };
    let rows = statement.query_map([count], |row| {
        let text = |name: &str| row.get::<_, String>(name);
        Ok(serde_json::json!({
            "at": row.get::<_, i64>("at")?, "who": text("who")?, "action": text("action")?, "subject": text("subject")?,
            "before": json(row.get("before")?), "after": json(row.get("after")?), "reason": text("reason")?,
        }))
    })?;
    rows.collect()
}
