//! Virtual keys and the audit log.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

/// A virtual key, which was created through the admin API. Only digests of its secrets are stored, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The public part of the secret.
    pub id: String,
    pub name: String,
    pub sha256: String,
    /// The digest of the secret before the last rotation.
    pub old_sha256: Option<String>,
    /// When that secret stops being valid, in Unix seconds.
    pub old_until: Option<i64>,
    /// The settings that a key can also have in the configuration, as JSON.
    pub settings: String,
    /// The operator's own metadata, as JSON.
    pub metadata: String,
    /// In Unix seconds, like all times here.
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    /// Precise to a minute.
    pub last_used_at: Option<i64>,
}

/// A change made through the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// In Unix seconds.
    pub at: i64,
    pub who: String,
    pub action: &'static str,
    /// The id of the key or the budget that was changed.
    pub subject: String,
    /// The state before the change as JSON, without secrets and digests.
    pub before: Option<String>,
    /// The state after the change, in the same form.
    pub after: Option<String>,
    pub reason: String,
}

/// Returns all keys, oldest first.
pub fn list_keys(connection: &Connection) -> Result<Vec<KeyRow>> {
    let mut statement = connection.prepare("SELECT * FROM keys ORDER BY created_at, id")?;
    let rows = statement.query_map([], read_key)?;
    rows.collect()
}

/// Returns the key with this id.
pub fn find_key(connection: &Connection, id: &str) -> Result<Option<KeyRow>> {
    connection
        .query_row("SELECT * FROM keys WHERE id = ?", [id], read_key)
        .optional()
}

fn read_key(row: &Row<'_>) -> Result<KeyRow> {
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

/// Inserts or replaces a key.
pub fn put_key(connection: &Connection, k: &KeyRow) -> Result<()> {
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

/// Stores when a key was last used, in Unix seconds.
pub fn record_key_use(connection: &Connection, id: &str, at: i64) -> Result<()> {
    connection
        .prepare_cached("UPDATE keys SET last_used_at = ? WHERE id = ?")?
        .execute(params![at, id])
        .map(drop)
}

/// Appends a change to the audit log.
pub fn put_audit(connection: &Connection, a: &Audit) -> Result<()> {
    connection
        .execute(
            "INSERT INTO audit (at, who, action, subject, before, after, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![a.at, a.who, a.action, a.subject, a.before, a.after, a.reason],
        )
        .map(drop)
}

/// Returns the last `count` changes as JSON objects, newest first.
pub fn list_audit(connection: &Connection, count: u32) -> Result<Vec<serde_json::Value>> {
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
