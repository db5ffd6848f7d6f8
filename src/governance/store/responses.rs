//! Stored responses: their place in a chain, and their contents in sealed form.

use std::{cmp::Reverse, result::Result};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;

/// The most expired responses that are deleted at once. Their contents may be large.
const SLICE: usize = 50;

/// The size of a row beside its content, in bytes, with its items and indexes.
const ROW_BYTES: usize = 512;

/// A response to be stored.
#[derive(Debug)]
pub struct ResponseRow {
    pub id: String,
    pub key_id: String,
    /// The id of the response that it continues.
    pub parent: Option<String>,
    /// The number of responses of its chain.
    pub depth: u32,
    /// The ids of the items of its output.
    pub items: Vec<String>,
    /// When it can no longer be used, in Unix milliseconds.
    pub expires_at: i64,
    /// The key that its content is encrypted with, or empty.
    pub cipher: String,
    pub content: Vec<u8>,
}

/// The content of a stored response.
#[derive(Debug)]
pub struct SealedContent {
    pub id: String,
    pub depth: u32,
    pub cipher: String,
    pub content: Vec<u8>,
}

/// The most bytes of stored responses.
#[derive(Clone, Copy, Debug)]
pub struct SizeLimits {
    /// Of one key.
    pub of_key: u64,
    /// Of all keys.
    pub of_all: u64,
}

/// What a slice of housekeeping did.
#[derive(Clone, Copy, Debug)]
pub struct Deleted {
    pub deleted: usize,
    pub has_more: bool,
}

impl Store {
    /// Stores a response in the background, and hands to `done` whether it is stored. If what it continues is gone, `alone`
    /// returns what is stored instead. `done` is dropped if the writer has ended.
    pub fn put_response(
        &self,
        row: ResponseRow,
        alone: impl FnOnce() -> Option<ResponseRow> + Send + 'static,
        limits: SizeLimits,
        done: impl FnOnce(Result<bool, String>) + Send + 'static,
    ) {
        let health = self.writer.health.clone();
        let work = move |connection: &Connection| match health.is_healthy() {
            true => put(connection, &row, alone, limits),
            // Each try would hold up the writer.
            false => Ok(false),
        };
        self.writer.queue(work, |stored| {
            done(stored.map_err(|error| error.to_string()))
        });
    }

    /// Returns the content of a response, unless it has expired.
    ///
    /// # Errors
    /// This and the methods below return SQLite's message.
    pub async fn find_response(
        &self,
        key_id: &str,
        id: &str,
        now: i64,
    ) -> Result<Option<SealedContent>, String> {
        let (key_id, id) = (key_id.to_owned(), id.to_owned());
        self.look_up(move |connection| find(connection, &key_id, &id, now))
            .await
    }

    /// Returns the contents of the chain that ends with the response `id`, the last one first, until they have more than
    /// `max` bytes. Empty if the response is unknown or has expired.
    pub async fn response_chain(
        &self,
        key_id: &str,
        id: &str,
        now: i64,
        max: usize,
    ) -> Result<Vec<SealedContent>, String> {
        let (key_id, id) = (key_id.to_owned(), id.to_owned());
        self.look_up(move |connection| chain(connection, &key_id, &id, now, max))
            .await
    }

    /// Returns the contents of the responses that contain these items, each once, until they have more than `max` bytes.
    pub async fn response_holders(
        &self,
        key_id: &str,
        items: Vec<String>,
        now: i64,
        max: usize,
    ) -> Result<Vec<SealedContent>, String> {
        let key_id = key_id.to_owned();
        self.look_up(move |connection| holders(connection, &key_id, &items, now, max))
            .await
    }

    /// Deletes a response. Its content stays while other responses continue it. Returns whether there was one.
    pub async fn delete_response(&self, key_id: &str, id: &str, now: i64) -> Result<bool, String> {
        let (key_id, id) = (key_id.to_owned(), id.to_owned());
        self.writer
            .run(move |connection| delete(connection, &key_id, &id, now))
            .await
    }

    /// Returns the number of responses that are encrypted with another key than `own`.
    pub async fn count_foreign_responses(&self, own: String) -> Result<i64, String> {
        self.look_up(move |connection| count_foreign(connection, &own))
            .await
    }
}

/// Stores a response, or what `alone` returns if the response that it continues is gone. Returns whether it is stored.
fn put(
    connection: &Connection,
    row: &ResponseRow,
    alone: impl FnOnce() -> Option<ResponseRow>,
    limits: SizeLimits,
) -> rusqlite::Result<bool> {
    let Some(parent) = &row.parent else {
        return insert(connection, row, None, limits);
    };
    match number_of(connection, &row.key_id, parent)? {
        Some(number) => insert(connection, row, Some(number), limits),
        None => match alone() {
            Some(row) => insert(connection, &row, None, limits),
            None => Ok(false),
        },
    }
}

/// Inserts a response, and deletes those that were unused for longest until all fit into `limits`. Returns whether the
/// response is left: not if it is too large itself.
fn insert(
    connection: &Connection,
    row: &ResponseRow,
    parent: Option<i64>,
    limits: SizeLimits,
) -> rusqlite::Result<bool> {
    let bytes = i64::try_from(row.content.len() + ROW_BYTES).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO responses (id, key_id, parent, depth, expires_at, kept_until, bytes, cipher)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)",
        )?
        .execute(params![
            row.id,
            row.key_id,
            parent,
            row.depth,
            row.expires_at,
            bytes,
            row.cipher
        ])?;
    let number = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO response_contents (number, content) VALUES (?, ?)")?
        .execute(params![number, row.content])?;
    for item in &row.items {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO response_items (key_id, item, number) VALUES (?, ?, ?)",
            )?
            .execute(params![row.key_id, item, number])?;
    }
    // What the response continues is needed for as long as the response.
    connection
        .prepare_cached(
            "WITH RECURSIVE chain (number) AS (
                SELECT ?1 UNION ALL SELECT parent FROM responses JOIN chain USING (number) WHERE parent IS NOT NULL)
             UPDATE responses SET kept_until = MAX(kept_until, ?2) WHERE number IN (SELECT number FROM chain)",
        )?
        .execute(params![number, row.expires_at])?;
    evict(connection, Some(&row.key_id), limits.of_key)?;
    evict(connection, None, limits.of_all)?;
    let is_left = "SELECT EXISTS (SELECT 1 FROM responses WHERE number = ?)";
    connection
        .prepare_cached(is_left)?
        .query_row([number], |row| row.get(0))
}

fn number_of(connection: &Connection, key_id: &str, id: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT number FROM responses WHERE id = ? AND key_id = ?")?
        .query_row([id, key_id], |row| row.get(0))
        .optional()
}

/// Deletes the responses of a key, or of all, that were unused for longest, until the others have at most `max` bytes. The
/// end of a chain goes first, so that no response remains without those that it continues.
fn evict(connection: &Connection, key_id: Option<&str>, max: u64) -> rusqlite::Result<()> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let scope = key_id.map_or_else(|| "all".to_owned(), |key_id| format!("key:{key_id}"));
    let delete = match key_id {
        Some(_) => {
            "DELETE FROM responses WHERE number = (SELECT number FROM responses WHERE key_id = ?
             ORDER BY kept_until, number DESC LIMIT 1)"
        }
        None => {
            "DELETE FROM responses WHERE number = (SELECT number FROM responses
             ORDER BY kept_until, number DESC LIMIT 1)"
        }
    };
    loop {
        let bytes: Option<i64> = connection
            .prepare_cached("SELECT bytes FROM response_sizes WHERE scope = ?")?
            .query_row([&scope], |row| row.get(0))
            .optional()?;
        if bytes.is_none_or(|bytes| bytes <= max) {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(delete)?;
        let deleted = match key_id {
            Some(key_id) => statement.execute([key_id])?,
            None => statement.execute([])?,
        };
        if deleted == 0 {
            return Ok(());
        }
    }
}

fn find(
    connection: &Connection,
    key_id: &str,
    id: &str,
    now: i64,
) -> rusqlite::Result<Option<SealedContent>> {
    connection
        .prepare_cached(
            "SELECT id, depth, cipher, content FROM responses JOIN response_contents USING (number)
             WHERE id = ? AND key_id = ? AND expires_at > ?",
        )?
        .query_row(params![id, key_id, now], content)
        .optional()
}

fn chain(
    connection: &Connection,
    key_id: &str,
    id: &str,
    now: i64,
    max: usize,
) -> rusqlite::Result<Vec<SealedContent>> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE chain (number, parent, id, depth, cipher) AS (
            SELECT number, parent, id, depth, cipher FROM responses WHERE id = ? AND key_id = ? AND expires_at > ?
            UNION ALL SELECT r.number, r.parent, r.id, r.depth, r.cipher FROM responses r JOIN chain c ON r.number = c.parent)
         SELECT id, depth, cipher, content FROM chain JOIN response_contents USING (number)",
    )?;
    let rows = statement.query_map(params![id, key_id, now], content)?;
    let (mut chain, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += row.content.len();
        chain.push(row);
        if bytes > max {
            break;
        }
    }
    // The order of a recursive query is not defined by SQL.
    chain.sort_by_key(|row| Reverse(row.depth));
    Ok(chain)
}

fn holders(
    connection: &Connection,
    key_id: &str,
    items: &[String],
    now: i64,
    max: usize,
) -> rusqlite::Result<Vec<SealedContent>> {
    let mut find = connection.prepare_cached(
        "SELECT number FROM response_items JOIN responses USING (number)
         WHERE response_items.key_id = ? AND item = ? AND expires_at > ?",
    )?;
    let mut numbers: Vec<i64> = Vec::new();
    for item in items {
        let number = find
            .query_row(params![key_id, item, now], |row| row.get(0))
            .optional()?;
        numbers.extend(number.filter(|number| !numbers.contains(number)));
    }
    let mut read = connection.prepare_cached(
        "SELECT id, depth, cipher, content FROM responses JOIN response_contents USING (number) WHERE number = ?",
    )?;
    let (mut holders, mut bytes) = (Vec::new(), 0);
    for number in numbers {
        let row = read.query_row([number], content)?;
        bytes += row.content.len();
        holders.push(row);
        if bytes > max {
            break;
        }
    }
    Ok(holders)
}

fn content(row: &Row<'_>) -> rusqlite::Result<SealedContent> {
    Ok(SealedContent {
        id: row.get(0)?,
        depth: row.get(1)?,
        cipher: row.get(2)?,
        content: row.get(3)?,
    })
}

fn delete(connection: &Connection, key_id: &str, id: &str, now: i64) -> rusqlite::Result<bool> {
    let hidden = connection
        .prepare_cached(
            "UPDATE responses SET expires_at = 0 WHERE id = ? AND key_id = ? AND expires_at > ? RETURNING number",
        )?
        .query_row(params![id, key_id, now], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(number) = hidden else {
        return Ok(false);
    };
    connection
        .prepare_cached("DELETE FROM response_items WHERE number = ?")?
        .execute([number])?;
    // With its last child, a response that was deleted before it goes too.
    let mut next = Some(number);
    while let Some(number) = next {
        next = connection
            .prepare_cached(
                "DELETE FROM responses WHERE number = ?1 AND expires_at = 0
                 AND NOT EXISTS (SELECT 1 FROM responses WHERE parent = ?1) RETURNING parent",
            )?
            .query_row([number], |row| row.get::<_, Option<i64>>(0))
            .optional()?
            .flatten();
    }
    Ok(true)
}

/// Deletes some of the responses that nothing needs any more.
pub fn delete_expired(connection: &Connection, now: i64) -> rusqlite::Result<Deleted> {
    let sql =
        "DELETE FROM responses WHERE number IN (SELECT number FROM responses WHERE kept_until <= ?
               ORDER BY kept_until LIMIT ?)";
    let deleted = connection
        .prepare_cached(sql)?
        .execute((now, SLICE as i64))?;
    Ok(Deleted {
        deleted,
        has_more: deleted == SLICE,
    })
}

fn count_foreign(connection: &Connection, own: &str) -> rusqlite::Result<i64> {
    connection.query_row(
        "SELECT COUNT(*) FROM responses WHERE cipher NOT IN ('', ?)",
        [own],
        |row| row.get(0),
    )
}

#[cfg(test)]
mod tests;
