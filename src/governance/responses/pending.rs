//! Responses that are not written yet, so that a client finds its response as soon as it has received it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::NewResponse;

/// The most bytes of responses that wait for the writer.
const MAX_BYTES: usize = 64 << 20;

/// The responses that are not written yet. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Pending(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    responses: HashMap<String, Arc<NewResponse>>,
    /// Ids of responses by the ids of their items.
    holders: HashMap<String, String>,
    bytes: usize,
}

/// A response that is found until this is dropped.
#[derive(Debug)]
pub struct PendingResponse {
    response: Arc<NewResponse>,
    pending: Pending,
}

impl Pending {
    /// Adds a response. Returns `None` if too many wait.
    pub fn insert(&self, response: NewResponse) -> Option<PendingResponse> {
        let response = Arc::new(response);
        let mut waiting = self.lock();
        let bytes = waiting.bytes + response.content.len();
        if bytes > MAX_BYTES {
            return None;
        }
        waiting.bytes = bytes;
        for item in &response.items {
            waiting.holders.insert(item.clone(), response.id.clone());
        }
        waiting
            .responses
            .insert(response.id.clone(), response.clone());
        Some(PendingResponse {
            response,
            pending: self.clone(),
        })
    }

    /// Returns the response of a key with this id.
    pub fn get(&self, key_id: &str, id: &str) -> Option<Arc<NewResponse>> {
        let found = self.lock().responses.get(id).cloned();
        found.filter(|response| response.key_id == key_id)
    }

    /// Returns the response of a key that contains this item.
    pub fn holder(&self, key_id: &str, item: &str) -> Option<Arc<NewResponse>> {
        let waiting = self.lock();
        let response = waiting.responses.get(waiting.holders.get(item)?)?;
        (response.key_id == key_id).then(|| response.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingResponse {
    /// Returns the response.
    pub fn response(&self) -> &NewResponse {
        &self.response
    }

    /// Returns the response, to be kept beyond this.
    pub fn shared(&self) -> Arc<NewResponse> {
        self.response.clone()
    }
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        let mut waiting = self.pending.lock();
        waiting.bytes -= self.response.content.len();
        waiting.responses.remove(&self.response.id);
        for item in &self.response.items {
            waiting.holders.remove(item);
        }
    }
}
