use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A client that is created on demand and replaced on refresh.
pub struct ClientSlot<C> {
    client: Option<C>,
    /// When the client and its credentials were last discarded.
    refreshed: Option<Instant>,
}

impl<C> Default for ClientSlot<C> {
    fn default() -> Self {
        Self {
            client: None,
            refreshed: None,
        }
    }
}

impl<C: Clone> ClientSlot<C> {
    /// Returns the client and creates it with `make` if needed. The argument of `make` is true after a refresh; the new
    /// client must then not share the identity cache that holds the rejected credentials.
    pub fn get(slot: &Mutex<Self>, make: impl FnOnce(bool) -> C) -> C {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = slot.refreshed.is_some();
        slot.client.get_or_insert_with(|| make(fresh)).clone()
    }

    /// Discards the client, at most once in `every`. Returns whether it did.
    pub fn refresh(slot: &Mutex<Self>, every: Duration) -> bool {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let due = slot.refreshed.is_none_or(|at| at.elapsed() > every);
        if due {
            *slot = Self {
                client: None,
                refreshed: Some(Instant::now()),
            };
        }
        due
    }
}
