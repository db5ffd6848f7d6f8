//! Label values that keep the number of series bounded.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

/// The most keys that have series of their own.
const MAX_KEYS: usize = 1000;

/// The ids of the keys that have series of their own. This is part of the metrics recorder, which is global as well: a
/// series stays in the recorder until the process ends, so its key counts against [`MAX_KEYS`] for as long.
static KEYS_WITH_SERIES: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Returns `key_id`, or `other` once [`MAX_KEYS`] other keys have series.
pub fn key_label(key_id: &str) -> String {
    let mut keys = KEYS_WITH_SERIES
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if keys.contains(key_id) || (keys.len() < MAX_KEYS && keys.insert(key_id.to_owned())) {
        return key_id.to_owned();
    }
    "other".to_owned()
}

/// Returns the id of a budget or limit without the hash of its end user, because clients choose how many end users there
/// are.
pub fn without_user(id: &str) -> String {
    match id.split_once("/user:") {
        Some((key, rest)) => format!("{key}/user{}", rest.find('/').map_or("", |at| &rest[at..])),
        None => id.to_owned(),
    }
}
