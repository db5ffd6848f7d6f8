//! The tables, and the migrations of older files.

use rusqlite::Connection;

/// The migrations in order. `user_version` is the number of those that a file has had. Never change a released one, add
/// another instead.
const MIGRATIONS: [&str; 4] = [
    // Money is in nano-dollars, `at` in Unix milliseconds. Roll-ups are per quarter of an hour, because some time zones
    // start their days at a quarter of UTC's hours. They outlive the records.
    "CREATE TABLE records (
        id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, at INTEGER NOT NULL, ended_at INTEGER NOT NULL,
        key_id TEXT NOT NULL, team TEXT NOT NULL, end_user TEXT NOT NULL, model TEXT NOT NULL, target TEXT NOT NULL,
        region TEXT NOT NULL, route TEXT NOT NULL DEFAULT 'converse',
        input INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write_5m INTEGER NOT NULL,
        cache_write_1h INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
        server_tool_uses INTEGER NOT NULL, price TEXT NOT NULL, cost INTEGER, kind TEXT NOT NULL,
        status TEXT NOT NULL, how TEXT NOT NULL, attempts INTEGER NOT NULL);
     CREATE INDEX records_by_time ON records (at);
     CREATE INDEX records_by_request ON records (request_id);
     CREATE TABLE rollups (
        quarter INTEGER NOT NULL, key_id TEXT NOT NULL, team TEXT NOT NULL, end_user TEXT NOT NULL,
        model TEXT NOT NULL, kind TEXT NOT NULL, calls INTEGER NOT NULL,
        input INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, output INTEGER NOT NULL,
        cost INTEGER NOT NULL,
        PRIMARY KEY (quarter, key_id, team, end_user, model, kind)) WITHOUT ROWID;
     CREATE INDEX rollups_by_key ON rollups (key_id, quarter);
     CREATE TABLE holds (
        request_id TEXT PRIMARY KEY, at INTEGER NOT NULL, amount INTEGER NOT NULL, key_id TEXT NOT NULL,
        team TEXT NOT NULL, end_user TEXT NOT NULL, model TEXT NOT NULL, target TEXT NOT NULL, region TEXT NOT NULL,
        price TEXT NOT NULL) WITHOUT ROWID;
     CREATE TABLE keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, old_sha256 TEXT, old_until INTEGER,
        settings TEXT NOT NULL, metadata TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER,
        revoked_at INTEGER, last_used_at INTEGER) WITHOUT ROWID;
     CREATE TABLE overrides (
        id INTEGER PRIMARY KEY, budget TEXT NOT NULL, amount INTEGER NOT NULL, until INTEGER NOT NULL,
        reason TEXT NOT NULL);
     CREATE INDEX overrides_by_budget ON overrides (budget, until);
     CREATE TABLE audit (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
        before TEXT, after TEXT, reason TEXT NOT NULL DEFAULT '');",
    // Teams and models are summed without reading all roll-ups. A sum that once overflowed became a float, which no query
    // could read. `salt` is empty in older files, so that their end users keep their accounts.
    "CREATE INDEX rollups_by_team ON rollups (team, quarter) WHERE team != '';
     CREATE INDEX rollups_by_model ON rollups (model, quarter);
     CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
     UPDATE rollups SET calls = CAST(MIN(calls, 9007199254740992) AS INTEGER),
        input = CAST(MIN(input, 9007199254740992) AS INTEGER),
        cache_read = CAST(MIN(cache_read, 9007199254740992) AS INTEGER),
        cache_write = CAST(MIN(cache_write, 9007199254740992) AS INTEGER),
        output = CAST(MIN(output, 9007199254740992) AS INTEGER),
        cost = CAST(MIN(cost, 9007199254740992) AS INTEGER)
        WHERE typeof(calls + input + cache_read + cache_write + output + cost) != 'integer'
        OR MAX(calls, input, cache_read, cache_write, output, cost) > 9007199254740992;
     INSERT INTO meta (name, value) SELECT 'salt', CASE WHEN EXISTS (SELECT 1 FROM rollups) THEN x'' ELSE randomblob(16) END;",
    // Tells which calls the invocation log shows. Earlier versions only had routes that it shows.
    "ALTER TABLE holds ADD COLUMN route TEXT NOT NULL DEFAULT 'converse';",
    // Contents are in a table of their own, because SQLite reads a whole row to change one column. `depth` is the number of
    // responses of the chain. A row that expired or was deleted (`expires_at` 0) stays until `kept_until`, because later
    // responses continue it. Triggers keep the sums exact, whoever deletes.
    "CREATE TABLE responses (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key_id TEXT NOT NULL, parent INTEGER,
        depth INTEGER NOT NULL, expires_at INTEGER NOT NULL, kept_until INTEGER NOT NULL, bytes INTEGER NOT NULL,
        cipher TEXT NOT NULL);
     CREATE INDEX responses_by_key ON responses (key_id, kept_until);
     CREATE INDEX responses_by_age ON responses (kept_until);
     CREATE INDEX responses_by_parent ON responses (parent) WHERE parent IS NOT NULL;
     CREATE TABLE response_contents (number INTEGER PRIMARY KEY, content BLOB NOT NULL);
     CREATE TABLE response_items (
        key_id TEXT NOT NULL, item TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (key_id, item)) WITHOUT ROWID;
     CREATE INDEX response_items_by_response ON response_items (number);
     CREATE TABLE response_sizes (scope TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
     CREATE TRIGGER response_inserted AFTER INSERT ON responses BEGIN
        INSERT INTO response_sizes VALUES ('all', NEW.bytes), ('key:' || NEW.key_id, NEW.bytes)
            ON CONFLICT (scope) DO UPDATE SET bytes = bytes + excluded.bytes;
     END;
     CREATE TRIGGER response_deleted AFTER DELETE ON responses BEGIN
        DELETE FROM response_contents WHERE number = OLD.number;
        DELETE FROM response_items WHERE number = OLD.number;
        UPDATE response_sizes SET bytes = bytes - OLD.bytes WHERE scope IN ('all', 'key:' || OLD.key_id);
        DELETE FROM response_sizes WHERE scope IN ('all', 'key:' || OLD.key_id) AND bytes <= 0;
     END;",
];

/// Brings a file to the current schema.
///
/// # Errors
/// Returns the reason if the file has a newer schema or cannot be written.
pub fn migrate(connection: &mut Connection) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let version: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(text)?;
    if version as usize > MIGRATIONS.len() {
        return Err(format!(
            "it was written by a newer version of lintel (schema {version}); use that version or a later one"
        ));
    }
    for (number, migration) in (1u32..).zip(MIGRATIONS).skip(version as usize) {
        let transaction = connection.transaction().map_err(text)?;
        transaction.execute_batch(migration).map_err(text)?;
        transaction
            .pragma_update(None, "user_version", number)
            .map_err(text)?;
        transaction.commit().map_err(text)?;
    }
    Ok(())
}
