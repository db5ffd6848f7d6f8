//! Virtual keys: stored in the ledger, and kept in memory, where requests look them up. A change takes effect with the
//! next request.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::error::ApiError;
use crate::{
    config::{self, KeySettings, Problem, Teams},
    edge::{AwsPairs, Keys, VirtualKey, virtual_key},
    governance::{Audit, KeyRow, Ledger},
};

/// The longest time for which two secrets of a key are valid.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

#[derive(Clone)]
pub struct KeyStore {
    pub(super) keys: Keys,
    pub(super) ledger: Ledger,
    /// Shared by all clones, because a reload replaces it.
    pub(super) teams: Arc<ArcSwap<Teams>>,
    pub(super) aws_pairs: AwsPairs,
    /// Held during a change, which reads before it writes.
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
    /// Runs what outlives a request, if this is a gateway and not a command of the CLI.
    pub(super) background: Option<(TaskTracker, CancellationToken)>,
}

/// Members of a request that are not settings of the key.
const NON_SETTINGS: [&str; 2] = ["name", "metadata"];

impl KeyStore {
    pub fn new(keys: Keys, ledger: Ledger, teams: Teams) -> Self {
        Self {
            keys,
            ledger,
            teams: Arc::new(ArcSwap::from_pointee(teams)),
            aws_pairs: AwsPairs::default(),
            changing: Arc::default(),
            background: None,
        }
    }

    /// Lets it issue key pairs for AWS SDKs.
    pub fn with_aws_pairs(self, aws_pairs: AwsPairs) -> Self {
        Self { aws_pairs, ..self }
    }

    /// Lets a change that cannot be stored be tried again in one of `tasks`, until `shutdown`.
    pub fn with_background(self, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        Self {
            background: Some((tasks, shutdown)),
            ..self
        }
    }

    pub async fn list(&self) -> Result<Vec<Value>, ApiError> {
        let used: HashMap<String, i64> = self.keys.last_used().into_iter().collect();
        Ok(self
            .ledger
            .keys()
            .await?
            .into_iter()
            .map(|row| self.shown(row, &used))
            .collect())
    }

    pub async fn show(&self, id: &str) -> Result<Value, ApiError> {
        let used = self.keys.last_used().into_iter().collect();
        Ok(self.shown(self.row(id).await?, &used))
    }

    /// The public view of a key, with its latest use and any problem with its settings.
    fn shown(&self, mut row: KeyRow, used: &HashMap<String, i64>) -> Value {
        row.last_used_at = used
            .get(&row.id)
            .copied()
            .filter(|at| *at > 0)
            .or(row.last_used_at);
        let mut shown = view(&row);
        if let Err(error) = self.settings(&row) {
            shown["status"] = "refused".into();
            shown["problem"] = error.message.into();
        }
        shown
    }

    /// Creates a key. Its secret is only in the answer.
    pub async fn create(&self, body: Value, who: String) -> Result<Value, ApiError> {
        let (id, secret) =
            virtual_key::generate(None).map_err(|error| ApiError::failed(error.to_string()))?;
        let Value::Object(mut settings) = body else {
            return Err(ApiError::invalid("The body must be a JSON object."));
        };
        let [name, metadata] = NON_SETTINGS.map(|member| settings.remove(member));
        let name = match name {
            Some(Value::String(name)) => checked_name(name)?,
            _ => {
                return Err(ApiError::invalid(
                    "'name' is missing: a short text that says what the key is for.",
                ));
            }
        };
        let mut row = KeyRow {
            id,
            name,
            sha256: hex::encode(Sha256::digest(secret.as_bytes())),
            old_sha256: None,
            old_until: None,
            settings: Value::Object(settings).to_string(),
            metadata: metadata.unwrap_or_else(|| json!({})).to_string(),
            created_at: Timestamp::now().as_second(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        let made = self.settings(&row)?;
        if made
            .expires
            .is_some_and(|expires| expires <= SystemTime::now())
        {
            return Err(ApiError::invalid(
                "expires: is in the past, so the key would never be accepted.",
            ));
        }
        if made.caller.models.as_ref().is_some_and(Vec::is_empty) {
            return Err(ApiError::invalid(
                "models: is empty, so the key could use no model. Leave it out to allow every configured model.",
            ));
        }
        row.expires_at = made.expires.and_then(seconds);
        self.write(&row, audit(who, "key.create", None, &row))
            .await?;
        Ok(json!({"secret": secret, "key": view(&row)}))
    }

    /// Changes the settings that `body` names; null removes one.
    pub async fn change(&self, id: &str, body: Value, who: String) -> Result<Value, ApiError> {
        let _guard = self.changing.lock().await;
        let before = self.row(id).await?;
        let Value::Object(members) = body else {
            return Err(ApiError::invalid("The body must be a JSON object."));
        };
        let mut row = before.clone();
        let mut settings = parsed(&row.settings);
        for (name, value) in members {
            match (name.as_str(), &value) {
                ("name", Value::String(text)) => row.name = checked_name(text.clone())?,
                ("metadata", _) => row.metadata = value.to_string(),
                (_, Value::Null) => {
                    let settings = settings.as_object_mut();
                    if settings.is_none_or(|settings| settings.remove(&name).is_none()) {
                        self.check_setting(&name)?;
                    }
                }
                _ => settings[name] = value,
            }
        }
        row.settings = settings.to_string();
        row.expires_at = self.settings(&row)?.expires.and_then(seconds);
        self.write(&row, audit(who, "key.change", Some(&before), &row))
            .await?;
        Ok(json!({"key": view(&row)}))
    }

    /// # Errors
    /// 400 if no setting has this name.
    fn check_setting(&self, name: &str) -> Result<(), ApiError> {
        let any = json!({name: true});
        let problems = config::virtual_key(any, "", &self.teams.load()).err();
        let unknown = |problem: &Problem| problem.message.starts_with("unknown key");
        match problems.into_iter().flatten().find(unknown) {
            Some(problem) => Err(ApiError::invalid(problem.to_string())),
            None => Ok(()),
        }
    }

    /// Creates a new secret. The old one stays valid for `overlap`. Without an overlap, every earlier secret ends at once.
    pub async fn rotate(
        &self,
        id: &str,
        overlap: Duration,
        who: String,
    ) -> Result<Value, ApiError> {
        let _guard = self.changing.lock().await;
        let before = self.row(id).await?;
        if before.revoked_at.is_some() {
            return Err(ApiError::invalid("This key is revoked. Create a new one."));
        }
        // Checked before the new secret is stored, because only the answer has it.
        self.settings(&before)?;
        let (_, secret) =
            virtual_key::generate(Some(id)).map_err(|error| ApiError::failed(error.to_string()))?;
        if overlap > MAX_OVERLAP {
            return Err(ApiError::invalid("'overlap' must be at most 30 days."));
        }
        let now = Timestamp::now().as_second();
        if let Some(until) = before
            .old_until
            .filter(|until| *until > now && !overlap.is_zero())
        {
            return Err(ApiError::conflict(format!(
                "The secret before the last rotation is valid until {}, and a key has at most two secrets. Rotate it after \
                 that, or with \"overlap\": \"0s\" (--overlap 0s), which ends both at once.",
                Timestamp::from_second(until).unwrap_or_default()
            )));
        }
        let until = now.saturating_add(i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX));
        let row = KeyRow {
            sha256: hex::encode(Sha256::digest(secret.as_bytes())),
            old_sha256: Some(before.sha256.clone()),
            old_until: Some(until),
            ..before.clone()
        };
        self.write(&row, audit(who, "key.rotate", Some(&before), &row))
            .await?;
        Ok(json!({"secret": secret, "key": view(&row)}))
    }

    pub(super) async fn row(&self, id: &str) -> Result<KeyRow, ApiError> {
        let row = self.ledger.key(id.to_owned()).await?;
        row.ok_or_else(|| {
            ApiError::not_found(
                "No virtual key has this id. List them with `lintel keys list` or GET /admin/keys.",
            )
        })
    }

    async fn write(&self, row: &KeyRow, audit: Audit) -> Result<(), ApiError> {
        self.ledger.put_key(row.clone(), audit).await?;
        self.place(row).await
    }

    /// Puts a key into memory. If that fails, the key is removed from memory, so that it is rejected.
    async fn place(&self, row: &KeyRow) -> Result<(), ApiError> {
        let placed = self.put(row).await;
        if placed.is_err() {
            self.keys.put(&row.id, None);
        }
        placed
    }

    async fn put(&self, row: &KeyRow) -> Result<(), ApiError> {
        let settings = self.settings(row)?;
        self.ledger.set_caller_budgets(&settings.caller).await?;
        self.keys.put(&row.id, Some(virtual_key(row, settings)));
        Ok(())
    }

    pub(super) fn settings(&self, row: &KeyRow) -> Result<KeySettings, ApiError> {
        config::virtual_key(parsed(&row.settings), &row.id, &self.teams.load()).map_err(
            |problems| {
                let problems: Vec<String> = problems
                    .iter()
                    .map(|problem| format!("{}: {}", problem.path, problem.message))
                    .collect();
                ApiError::invalid(problems.join("; "))
            },
        )
    }
}

/// Returns the key of a row with these settings.
pub(super) fn virtual_key(row: &KeyRow, settings: KeySettings) -> VirtualKey {
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let digest = |text: &str| {
        hex::decode(text)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
    };
    let old = row
        .old_sha256
        .as_deref()
        .and_then(digest)
        .map(|old| (old, row.old_until.map(time)));
    let digests = digest(&row.sha256)
        .map(|new| (new, None))
        .into_iter()
        .chain(old)
        .collect();
    VirtualKey {
        digests,
        expires: settings.expires,
        allow_ips: settings.allow_ips,
        revoked: row.revoked_at.is_some(),
        caller: settings.caller,
        last_used: row.last_used_at.unwrap_or(0).into(),
    }
}

/// Rejects names that could garble a terminal or a table.
fn checked_name(name: String) -> Result<String, ApiError> {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    match !name.trim().is_empty() && name.chars().count() <= 100 && !name.contains(odd) {
        true => Ok(name),
        false => Err(ApiError::invalid(
            "'name' must be 1 to 100 characters of plain text.",
        )),
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!({}))
}

fn seconds(time: SystemTime) -> Option<i64> {
    time.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
}

/// The public view of a key: everything except its secrets and their digests.
pub fn view(row: &KeyRow) -> Value {
    let status = match row {
        KeyRow {
            revoked_at: Some(_),
            ..
        } => "revoked",
        KeyRow {
            expires_at: Some(at),
            ..
        } if *at <= Timestamp::now().as_second() => "expired",
        _ => "active",
    };
    json!({
        "id": row.id, "name": row.name, "status": status, "settings": parsed(&row.settings),
        "metadata": parsed(&row.metadata), "created_at": row.created_at, "expires_at": row.expires_at,
        "revoked_at": row.revoked_at, "last_used_at": row.last_used_at, "old_secret_until": row.old_until,
    })
}

pub fn audit(who: String, action: &'static str, before: Option<&KeyRow>, after: &KeyRow) -> Audit {
    Audit {
        at: Timestamp::now().as_second(),
        who,
        action,
        subject: format!("key:{}", after.id),
        before: before.map(|row| view(row).to_string()),
        after: Some(view(after).to_string()),
        reason: String::new(),
    }
}
