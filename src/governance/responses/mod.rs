//! Responses that clients continue or read again. Their contents are opaque here. This is the only way to them, so that
//! another store can take the place of SQLite.

mod cipher;
mod pending;

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Clock, Ledger,
    store::{ResponseRow, SealedContent, SizeLimits, Store},
};
use crate::{call::Secret, metrics};
use cipher::Cipher;
use pending::Pending;

/// The settings in `[responses]`, with `store.encryption_key_file`.
#[derive(Clone, Debug)]
pub struct ResponseSettings {
    /// Responses are stored unless a request says otherwise.
    pub is_on: bool,
    /// How long a response can be used.
    pub retention: Duration,
    /// The most bytes of the responses of one key. Those that were unused for longest are deleted first.
    pub max_bytes_per_key: u64,
    /// The most bytes of the responses of all keys.
    pub max_bytes: u64,
    /// The most responses of a chain.
    pub max_chain: u32,
    /// If `None`, responses are stored without encryption.
    pub encryption_key: Option<Secret>,
}

/// Writes the content of a response as if it continued none, with the whole conversation.
pub type AloneContent = Box<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// A response that has ended.
pub struct NewResponse {
    pub id: String,
    pub key_id: String,
    /// The id of the response that it continues.
    pub parent: Option<String>,
    /// The number of responses of its chain, itself included.
    pub depth: u32,
    /// The ids of the items of its output.
    pub items: Vec<String>,
    pub content: Vec<u8>,
    /// The content that is stored if what the response continues is gone: deleted, expired, or without room. `None` for a
    /// response that continues none.
    pub alone: Option<AloneContent>,
}

impl std::fmt::Debug for NewResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewResponse")
            .field("id", &self.id)
            .field("parent", &self.parent)
            .finish_non_exhaustive()
    }
}

/// The content of a stored response.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    pub id: String,
    pub depth: u32,
    pub content: Arc<[u8]>,
}

/// Why stored responses cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// No such response exists, it has expired or was deleted, or it is another key's.
    NotFound,
    /// They are larger than allowed.
    TooLarge,
    /// The store cannot be read, for this reason.
    Unreadable(String),
}

/// The stored responses of all keys. Clones share one state.
#[derive(Clone)]
pub struct Responses(Arc<Inner>);

struct Inner {
    store: Store,
    settings: ResponseSettings,
    cipher: Cipher,
    clock: Clock,
    pending: Pending,
}

impl Inner {
    /// Returns a response with this content as a row that continues none. `None` if the content cannot be encrypted.
    fn row(&self, new: &NewResponse, content: &[u8], expires_at: i64) -> Option<ResponseRow> {
        Some(ResponseRow {
            id: new.id.clone(),
            key_id: new.key_id.clone(),
            parent: None,
            depth: 1,
            items: new.items.clone(),
            expires_at,
            cipher: self.cipher.name().to_owned(),
            content: self.cipher.seal(&new.key_id, &new.id, content)?,
        })
    }
}

impl Responses {
    /// Opens the responses in the store of `ledger`. Logs how many of them the configured key does not decrypt.
    pub async fn open(ledger: &Ledger, settings: ResponseSettings) -> Self {
        let cipher = Cipher::new(settings.encryption_key.as_ref());
        let responses = Self(Arc::new(Inner {
            store: ledger.0.store.clone(),
            clock: ledger.0.clock.clone(),
            pending: Pending::default(),
            settings,
            cipher,
        }));
        responses.report_foreign().await;
        responses
    }

    async fn report_foreign(&self) {
        let own = self.0.cipher.name().to_owned();
        match self.0.store.count_foreign_responses(own).await {
            Ok(0) => {}
            Ok(count) => tracing::error!(
                count,
                "stored responses are encrypted with another key than store.encryption_key_file and are not found; set the \
                 key with which they were encrypted, or wait until they expire"
            ),
            Err(error) => tracing::error!(error, "stored responses cannot be read"),
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &ResponseSettings {
        &self.0.settings
    }

    /// Stores a response. It can be found from now on, and is written in the background. If it cannot be written, it is
    /// dropped and counted.
    pub fn put(&self, response: NewResponse) {
        let inner = &self.0;
        let Some(pending) = inner.pending.insert(response) else {
            return lost("the store is written too slowly");
        };
        let new = pending.response();
        let retention = i64::try_from(inner.settings.retention.as_millis()).unwrap_or(i64::MAX);
        let expires_at = self.now().as_millisecond().saturating_add(retention);
        let Some(row) = inner.row(new, &new.content, expires_at) else {
            return lost("it could not be encrypted");
        };
        let row = ResponseRow {
            parent: new.parent.clone(),
            depth: new.depth,
            ..row
        };
        let (sealing, new) = (self.clone(), pending.shared());
        let alone = move || {
            let content = new.alone.as_ref()?()?;
            sealing.0.row(&new, &content, expires_at)
        };
        let limits = SizeLimits {
            of_key: inner.settings.max_bytes_per_key,
            of_all: inner.settings.max_bytes,
        };
        inner.store.put_response(row, alone, limits, move |stored| {
            match stored {
                Ok(true) => {}
                Ok(false) => lost("the store cannot be written, or it is too large"),
                Err(error) => lost(&error),
            }
            // Found in the database from here on.
            drop(pending);
        });
    }

    /// Returns a response.
    ///
    /// # Errors
    /// [`ResponseError`], except `TooLarge`.
    pub async fn get(&self, key_id: &str, id: &str) -> Result<StoredResponse, ResponseError> {
        self.check_on()?;
        if let Some(new) = self.0.pending.get(key_id, id) {
            return Ok(StoredResponse::of(&new));
        }
        let now = self.now().as_millisecond();
        let found = self.0.store.find_response(key_id, id, now).await;
        let sealed = found.map_err(ResponseError::Unreadable)?;
        self.open_content(key_id, sealed.ok_or(ResponseError::NotFound)?)
    }

    /// Returns the chain that ends with the response `id`, the first one first. It has at most `max` bytes.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub async fn chain(
        &self,
        key_id: &str,
        id: &str,
        max: usize,
    ) -> Result<Vec<StoredResponse>, ResponseError> {
        self.check_on()?;
        let is_pending = self.0.pending.get(key_id, id).is_some();
        match self.chain_so_far(key_id, id, max).await {
            // What a pending response continues may be gone. Then it is written as one that continues none.
            Err(ResponseError::NotFound) if is_pending => {
                self.0.store.writer.flush().await;
                self.chain_so_far(key_id, id, max).await
            }
            result => result,
        }
    }

    async fn chain_so_far(
        &self,
        key_id: &str,
        id: &str,
        max: usize,
    ) -> Result<Vec<StoredResponse>, ResponseError> {
        let mut chain = Vec::new();
        let mut next = Some(id.to_owned());
        while let Some(id) = &next {
            let Some(new) = self.0.pending.get(key_id, id) else {
                break;
            };
            chain.push(StoredResponse::of(&new));
            next = new.parent.clone();
        }
        if let Some(id) = next {
            let now = match chain.is_empty() {
                true => self.now().as_millisecond(),
                // A response that has expired still belongs to the chains that continue it.
                false => i64::MIN,
            };
            let rows = self.0.store.response_chain(key_id, &id, now, max).await;
            for sealed in rows.map_err(ResponseError::Unreadable)? {
                chain.push(self.open_content(key_id, sealed)?);
            }
        }
        check_size(&chain, max)?;
        let depth = chain.first().map_or(0, |last| last.depth);
        // With a gap, the model would answer another conversation.
        if chain.is_empty() || chain.len() != usize::try_from(depth).unwrap_or(usize::MAX) {
            return Err(ResponseError::NotFound);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Returns the responses whose outputs contain these items. Unknown items are left out. The responses have at most `max`
    /// bytes.
    ///
    /// # Errors
    /// [`ResponseError`], except `NotFound`.
    pub async fn holders(
        &self,
        key_id: &str,
        items: Vec<String>,
        max: usize,
    ) -> Result<Vec<StoredResponse>, ResponseError> {
        if self.check_on().is_err() {
            return Ok(Vec::new());
        }
        let (mut found, mut rest) = (HashMap::new(), Vec::new());
        for item in items {
            match self.0.pending.holder(key_id, &item) {
                Some(new) => {
                    found.insert(new.id.clone(), StoredResponse::of(&new));
                }
                None => rest.push(item),
            }
        }
        let mut holders: Vec<StoredResponse> = found.into_values().collect();
        if !rest.is_empty() {
            let now = self.now().as_millisecond();
            let rows = self.0.store.response_holders(key_id, rest, now, max).await;
            for sealed in rows.map_err(ResponseError::Unreadable)? {
                match self.open_content(key_id, sealed) {
                    Ok(response) => holders.push(response),
                    Err(ResponseError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        check_size(&holders, max)?;
        Ok(holders)
    }

    /// Deletes a response. Those that continue it keep what they need of it.
    ///
    /// # Errors
    /// [`ResponseError`], except `TooLarge`.
    pub async fn delete(&self, key_id: &str, id: &str) -> Result<(), ResponseError> {
        // What cannot be found cannot be deleted, for whatever reason.
        self.get(key_id, id).await?;
        let now = self.now().as_millisecond();
        // A response that is not written yet is written before.
        match self.0.store.delete_response(key_id, id, now).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ResponseError::NotFound),
            Err(error) => Err(ResponseError::Unreadable(error)),
        }
    }

    fn check_on(&self) -> Result<(), ResponseError> {
        match self.0.settings.is_on {
            true => Ok(()),
            false => Err(ResponseError::NotFound),
        }
    }

    fn open_content(
        &self,
        key_id: &str,
        sealed: SealedContent,
    ) -> Result<StoredResponse, ResponseError> {
        let cipher = &self.0.cipher;
        let content = match sealed.cipher.as_str() {
            "" => Some(sealed.content),
            name if name == cipher.name() => cipher.open(key_id, &sealed.id, sealed.content),
            // Reported at the start.
            _ => return Err(ResponseError::NotFound),
        };
        let Some(content) = content else {
            tracing::error!(
                id = sealed.id,
                "a stored response was changed in the database"
            );
            return Err(ResponseError::NotFound);
        };
        Ok(StoredResponse {
            id: sealed.id,
            depth: sealed.depth,
            content: content.into(),
        })
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl StoredResponse {
    fn of(new: &NewResponse) -> Self {
        Self {
            id: new.id.clone(),
            depth: new.depth,
            content: new.content.as_slice().into(),
        }
    }
}

fn check_size(responses: &[StoredResponse], max: usize) -> Result<(), ResponseError> {
    let sizes = responses.iter().map(|response| response.content.len());
    match sizes.sum::<usize>() <= max {
        true => Ok(()),
        false => Err(ResponseError::TooLarge),
    }
}

/// Reports a response that is not stored although its client was told so.
fn lost(reason: &str) {
    tracing::warn!(reason, "a response was not stored");
    metrics::response_lost();
}

#[cfg(test)]
mod tests;
