//! Slows down guessing of keys. After too many failed logins, an address or a key must wait, and waits twice as long after
//! each further period of failures. Meanwhile even the right secret is not accepted, so that guessing learns nothing; except
//! from an address that has used it before, so that others cannot lock a client out.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::{sync, unsync};

use super::{
    flood::rate_limited,
    network::network,
    virtual_key::{self, SecretKind},
};
use crate::error::Error;

/// The number of addresses, keys and proven secrets that are remembered.
const CAPACITY: usize = 10_000;
/// The time in which failures are counted, and the first wait.
const PERIOD: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(960);

/// The failures of one address or key.
#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Instant,
    count: u32,
    wait: Duration,
}

/// Counts failures, and tells who must wait. Cheap memory: the oldest entries are forgotten.
#[derive(Debug)]
struct Backoff<K> {
    limit: u32,
    failures: Mutex<unsync::Cache<K, Failures>>,
}

impl<K: Hash + Eq> Backoff<K> {
    /// Allows `limit` failures in a minute.
    fn new(limit: u32) -> Self {
        Self {
            limit,
            failures: Mutex::new(unsync::Cache::new(CAPACITY)),
        }
    }

    /// Returns how long `key` must still wait, or `None` if it may try.
    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let failures = *self.failures().get(key)?;
        let left = (failures.since + failures.wait).saturating_duration_since(now);
        (failures.count >= self.limit && !left.is_zero()).then_some(left)
    }

    /// Counts a failure of `key`.
    fn record(&self, key: K, now: Instant) {
        let mut all = self.failures();
        let last = all.get(&key).copied();
        let wait = match last {
            Some(last) if now < last.since + last.wait => {
                let count = last.count.saturating_add(1);
                return all.insert(key, Failures { count, ..last });
            }
            // The last period had too many, and ended a short time ago.
            Some(last) if last.count >= self.limit && now < last.since + 2 * last.wait => {
                LONGEST_WAIT.min(2 * last.wait)
            }
            _ => PERIOD,
        };
        let first = Failures {
            since: now,
            count: 1,
            wait,
        };
        all.insert(key, first);
    }

    fn failures(&self) -> MutexGuard<'_, unsync::Cache<K, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The failed logins of a port.
#[derive(Debug)]
pub struct Logins {
    addresses: Backoff<IpAddr>,
    /// By public ID. The secrets of the configuration have none, but the access key ids of their keys do.
    keys: Backoff<String>,
    /// Hashes of secrets that were valid, with the address that sent them.
    proven: sync::Cache<u64, ()>,
    hasher: RandomState,
}

impl Logins {
    /// Allows `per_minute` failed logins in a minute from each address, and with each key.
    pub fn new(per_minute: u32) -> Self {
        Self {
            addresses: Backoff::new(per_minute),
            keys: Backoff::new(per_minute),
            proven: sync::Cache::new(CAPACITY),
            hasher: RandomState::new(),
        }
    }

    /// Looks `secret` up with `find`, unless the address or the key must wait.
    ///
    /// # Errors
    /// 429 if it must wait, else the reason that `find` returns, as `Ok(Err(…))`.
    pub fn attempt<T>(
        &self,
        secret: &[u8],
        address: Option<IpAddr>,
        find: impl FnOnce() -> Result<T, &'static str>,
    ) -> Result<Result<T, &'static str>, Error> {
        let key_id = key_id(secret);
        if !self.is_proven(secret, address) {
            self.check(key_id, address)?;
        }
        let found = find();
        self.note(key_id, Some(secret), address, found.is_ok());
        Ok(found)
    }

    /// Judges a login whose secret the client does not send: `secret` is the right one, or `None` if the client does not have
    /// it. Returns what was `found`, unless the address or the key must wait.
    ///
    /// # Errors
    /// 429 if it must wait.
    pub fn judge<T>(
        &self,
        key_id: &str,
        secret: Option<&[u8]>,
        address: Option<IpAddr>,
        found: Result<T, &'static str>,
    ) -> Result<Result<T, &'static str>, Error> {
        if !secret.is_some_and(|secret| self.is_proven(secret, address)) {
            self.check(Some(key_id), address)?;
        }
        self.note(Some(key_id), secret, address, found.is_ok());
        Ok(found)
    }

    /// Reports whether `secret` was valid when it last came from `address`.
    pub fn is_proven(&self, secret: &[u8], address: Option<IpAddr>) -> bool {
        self.proven.get(&self.proof(secret, address)).is_some()
    }

    fn proof(&self, secret: &[u8], address: Option<IpAddr>) -> u64 {
        self.hasher.hash_one((address.map(network), secret))
    }

    /// Remembers the outcome of a login.
    fn note(
        &self,
        key_id: Option<&str>,
        secret: Option<&[u8]>,
        address: Option<IpAddr>,
        is_valid: bool,
    ) {
        let proof = secret.map(|secret| self.proof(secret, address));
        match (is_valid, proof) {
            (true, Some(proof)) if self.proven.get(&proof).is_none() => {
                self.proven.insert(proof, ());
            }
            (true, _) => {}
            (false, proof) => {
                if let Some(proof) = proof {
                    self.proven.remove(&proof);
                }
                self.record(key_id, address);
            }
        }
    }

    /// Counts a failed login from `address`, and with the key that has this public ID.
    pub fn record(&self, key_id: Option<&str>, address: Option<IpAddr>) {
        let now = Instant::now();
        if let Some(address) = address {
            self.addresses.record(network(address), now);
        }
        if let Some(id) = key_id {
            self.keys.record(id.to_owned(), now);
        }
    }

    /// Checks whether `address` may try, and the key may be tried.
    ///
    /// # Errors
    /// 429 if not.
    pub fn check(&self, key_id: Option<&str>, address: Option<IpAddr>) -> Result<(), Error> {
        let now = Instant::now();
        let wait = |address| self.addresses.wait(&network(address), now);
        if let Some(wait) = address.and_then(wait) {
            return Err(rate_limited(
                "Too many failed logins from this address.",
                wait,
            ));
        }
        let Some(id) = key_id else {
            return Ok(());
        };
        match self.keys.wait(&id.to_owned(), now) {
            Some(wait) => Err(rate_limited("Too many failed logins with this key.", wait)),
            None => Ok(()),
        }
    }

    /// Checks whether `address` may send requests without a secret.
    ///
    /// # Errors
    /// 429 if not.
    pub fn check_address(&self, address: Option<IpAddr>) -> Result<(), Error> {
        self.check(None, address)
    }
}

/// Returns the public ID of the key that a secret names.
fn key_id(secret: &[u8]) -> Option<&str> {
    match virtual_key::classify(secret) {
        SecretKind::Virtual(id) => Some(id),
        SecretKind::Malformed | SecretKind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_period_of_failures_doubles_the_wait() {
        let (backoff, mut now) = (Backoff::new(2), Instant::now());
        for wait in [60, 120, 240, 480, 960, 960] {
            backoff.record("a", now);
            assert_eq!(backoff.wait(&"a", now), None);
            backoff.record("a", now);
            let wait = Duration::from_secs(wait);
            assert_eq!(backoff.wait(&"a", now), Some(wait));
            assert_eq!(backoff.wait(&"b", now), None);
            now += wait;
            assert_eq!(backoff.wait(&"a", now), None);
        }
        now += Duration::from_secs(2000);
        backoff.record("a", now);
        backoff.record("a", now);
        assert_eq!(backoff.wait(&"a", now), Some(PERIOD));
    }

    #[test]
    fn memory_is_bounded() {
        let (backoff, now) = (Backoff::new(1), Instant::now());
        for key in 0..3 * CAPACITY {
            backoff.record(key, now);
        }
        assert!(backoff.failures().len() <= CAPACITY);
    }

    /// 140 wrong secrets were refused, then the right one was accepted, so guessing could go on.
    #[test]
    fn right_secret_is_not_accepted_while_its_key_or_address_must_wait() {
        let logins = Logins::new(3);
        let (id, right) = virtual_key::generate(None).unwrap();
        let (_, wrong) = virtual_key::generate(Some(&id)).unwrap();
        let address = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let accepts = |secret: &str, from| {
            let find = || match secret == right {
                true => Ok(()),
                false => Err("unknown"),
            };
            logins
                .attempt(secret.as_bytes(), from, find)
                .is_ok_and(|found| found.is_ok())
        };
        assert!(accepts(&right, address(1)));
        for from in 2..5 {
            assert!(!accepts(&wrong, address(from)));
        }
        // The key must wait everywhere, except where it is known to be right.
        assert!(!accepts(&right, address(9)));
        assert!(accepts(&right, address(1)));
        for _ in 0..3 {
            logins.record(None, address(1));
        }
        assert!(accepts(&right, address(1)));
        assert!(!accepts("other", address(1)));
        assert!(logins.check_address(address(1)).is_err());
    }
}
