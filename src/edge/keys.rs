//! API keys: static keys from the configuration, and virtual keys that are created at run time.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::virtual_key::{self, SecretKind};
use crate::call::Caller;

/// A static key. Only the SHA-256 digest of its secret is stored.
#[derive(Clone, Debug)]
pub struct Key {
    /// `None` if the key has no secret, only client certificates.
    pub digest: Option<[u8; 32]>,
    /// Names of client certificates that stand for the key.
    pub client_certificates: Vec<String>,
    pub expires: Option<SystemTime>,
    /// Addresses that may use the key. If empty, all may.
    pub allow_ips: Vec<IpNet>,
    pub caller: Arc<Caller>,
}

/// A key that was created at run time. After a rotation, the old and the new secret are both valid for a while.
#[derive(Debug)]
pub struct VirtualKey {
    /// SHA-256 digests of the secrets, each with the time at which it expires.
    pub digests: Vec<([u8; 32], Option<SystemTime>)>,
    pub expires: Option<SystemTime>,
    pub allow_ips: Vec<IpNet>,
    pub revoked: bool,
    pub caller: Arc<Caller>,
    /// When the key was first used in the latest minute of use, in Unix seconds.
    pub last_used: AtomicI64,
}

/// All keys. Static keys are indexed by digest, because an attacker cannot choose a digest bit by bit; virtual keys are
/// indexed by public ID. Digests are compared in constant time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    configured: Arc<ArcSwap<Configured>>,
    virtual_keys: Arc<RwLock<HashMap<String, Arc<VirtualKey>>>>,
}

/// The static keys.
#[derive(Debug, Default)]
struct Configured {
    by_digest: HashMap<[u8; 32], Arc<Key>>,
    by_certificate: HashMap<String, Arc<Key>>,
    /// Those with a secret, by name.
    by_name: HashMap<String, Arc<Key>>,
}

impl Keys {
    /// Creates the table with the static `keys`.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        let all = Self::default();
        all.set_static(keys);
        all
    }

    /// Replaces the static keys in all clones.
    pub fn set_static(&self, keys: impl IntoIterator<Item = Key>) {
        let mut configured = Configured::default();
        for key in keys.into_iter().map(Arc::new) {
            let names = key.client_certificates.iter();
            let names = names.map(|name| (name.clone(), key.clone()));
            configured.by_certificate.extend(names);
            if let Some(digest) = key.digest {
                let name = key.caller.key_id.clone();
                configured.by_name.insert(name, key.clone());
                configured.by_digest.insert(digest, key);
            }
        }
        self.configured.store(Arc::new(configured));
    }

    /// Inserts or replaces the virtual key `id`, or removes it if `key` is `None`. Takes effect with the next request. A key
    /// that was revoked stays so, whatever its replacement says.
    pub fn put(&self, id: &str, key: Option<VirtualKey>) {
        let mut virtual_keys = self
            .virtual_keys
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match key {
            Some(mut key) => {
                if let Some(old) = virtual_keys.get(id) {
                    key.revoked |= old.revoked;
                    let last_used = key.last_used.get_mut();
                    *last_used = (*last_used).max(old.last_used.load(Ordering::Relaxed));
                }
                virtual_keys.insert(id.to_owned(), Arc::new(key))
            }
            // It is rejected anyway, and must be rejected if it is put back.
            None if virtual_keys.get(id).is_some_and(|old| old.revoked) => None,
            None => virtual_keys.remove(id),
        };
    }

    /// Rejects the virtual key `id` from now on. Returns false if it is not in memory, and therefore rejected already.
    pub fn revoke(&self, id: &str) -> bool {
        let mut virtual_keys = self
            .virtual_keys
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(key) = virtual_keys.get_mut(id) else {
            return false;
        };
        let last_used = key.last_used.load(Ordering::Relaxed);
        *key = Arc::new(VirtualKey {
            digests: key.digests.clone(),
            expires: key.expires,
            allow_ips: key.allow_ips.clone(),
            revoked: true,
            caller: key.caller.clone(),
            last_used: last_used.into(),
        });
        true
    }

    /// Returns the caller whose key has `secret` and may be used from `address` at the time `now`.
    ///
    /// # Errors
    /// The reason, as a metric label: `malformed`, `unknown`, `revoked`, `expired` or `address`.
    pub fn find(
        &self,
        secret: &[u8],
        address: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, &'static str> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        match virtual_key::classify(secret) {
            SecretKind::Malformed => Err("malformed"),
            SecretKind::Virtual(id) => {
                let is_same = |known: &[u8; 32]| bool::from(known.ct_eq(&digest));
                let key = self.virtual_key(id);
                // An unknown ID is compared with a dummy digest, so that timing does not reveal which IDs exist.
                let is_known = match &key {
                    Some(key) => key.has_digest(now, is_same),
                    None => is_same(&[0; 32]),
                };
                let key = key.filter(|_| is_known).ok_or("unknown")?;
                let caller = key.usable(address, now)?;
                key.record_use(now);
                Ok(caller)
            }
            SecretKind::Other => {
                let configured = self.configured.load();
                let key = configured.by_digest.get(&digest).filter(|key| {
                    let known = key.digest.as_ref();
                    known.is_some_and(|known| known.ct_eq(&digest).into())
                });
                key.ok_or("unknown")?.usable(address, now)
            }
        }
    }

    /// Returns the caller of the key `id`, if `is_signed` accepts the digest of one of its secrets. The ID of a static key is its
    /// name. Does not record the use of the key.
    ///
    /// # Errors
    /// The reason, as a metric label: `unknown`, `signature`, `revoked`, `expired` or `address`.
    pub fn find_signed(
        &self,
        id: &str,
        address: Option<IpAddr>,
        now: SystemTime,
        mut is_signed: impl FnMut(&[u8; 32]) -> bool,
    ) -> Result<Arc<Caller>, &'static str> {
        if let Some(key) = self.virtual_key(id) {
            let is_known = key.has_digest(now, is_signed);
            is_known.then_some(()).ok_or("signature")?;
            return key.usable(address, now);
        }
        let configured = self.configured.load();
        let key = configured.by_name.get(id).ok_or("unknown")?;
        let is_known = key.digest.as_ref().is_some_and(&mut is_signed);
        is_known.then_some(()).ok_or("signature")?;
        key.usable(address, now)
    }

    /// Records that the virtual key `id` was used at `now`.
    pub fn record_use(&self, id: &str, now: SystemTime) {
        if let Some(key) = self.virtual_key(id) {
            key.record_use(now);
        }
    }

    /// Returns the digest of the secret of the static key `name`.
    pub fn static_digest(&self, name: &str) -> Option<[u8; 32]> {
        self.configured.load().by_name.get(name)?.digest
    }

    fn virtual_key(&self, id: &str) -> Option<Arc<VirtualKey>> {
        let keys = self.virtual_keys.read();
        let keys = keys.unwrap_or_else(PoisonError::into_inner);
        keys.get(id).cloned()
    }

    /// Returns the caller whose key is for a client certificate with one of `names`.
    ///
    /// # Errors
    /// The reason, as a metric label: `missing` if there is no such key, `expired` or `address`.
    pub fn find_by_certificate(
        &self,
        names: &[String],
        address: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, &'static str> {
        let configured = self.configured.load();
        let key = names
            .iter()
            .find_map(|name| configured.by_certificate.get(name));
        key.ok_or("missing")?.usable(address, now)
    }

    /// Returns the ID of each virtual key and when it was last used, in Unix seconds.
    pub fn last_used(&self) -> Vec<(String, i64)> {
        let virtual_keys = self
            .virtual_keys
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        virtual_keys
            .iter()
            .map(|(id, key)| (id.clone(), key.last_used.load(Ordering::Relaxed)))
            .collect()
    }
}

impl Key {
    /// Reports whether a client could mean either key.
    pub fn shares_login_with(&self, other: &Self) -> bool {
        let theirs = &other.client_certificates;
        self.digest.is_some() && self.digest == other.digest
            || self
                .client_certificates
                .iter()
                .any(|name| theirs.contains(name))
    }

    fn usable(
        &self,
        address: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, &'static str> {
        check(self.expires, &self.allow_ips, address, now)?;
        Ok(self.caller.clone())
    }
}

fn check(
    expires: Option<SystemTime>,
    allow_ips: &[IpNet],
    address: Option<IpAddr>,
    now: SystemTime,
) -> Result<(), &'static str> {
    if expires.is_some_and(|expires| expires <= now) {
        return Err("expired");
    }
    let allowed = |address: IpAddr| {
        let address = address.to_canonical();
        allow_ips.iter().any(|net| net.contains(&address))
    };
    match allow_ips.is_empty() || address.is_some_and(allowed) {
        true => Ok(()),
        false => Err("address"),
    }
}

impl VirtualKey {
    /// Reports whether `is_same` accepts the digest of a secret that is valid at `now`. All are compared, so that the time does
    /// not depend on which one matches.
    fn has_digest(&self, now: SystemTime, mut is_same: impl FnMut(&[u8; 32]) -> bool) -> bool {
        let valid = |until: &Option<SystemTime>| until.is_none_or(|until| until > now);
        let digests = self.digests.iter();
        digests.fold(false, |found, (digest, until)| {
            found | (is_same(digest) && valid(until))
        })
    }

    fn usable(
        &self,
        address: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, &'static str> {
        if self.revoked {
            return Err("revoked");
        }
        check(self.expires, &self.allow_ips, address, now)?;
        Ok(self.caller.clone())
    }

    /// Records the first use in each minute, so that a busy key does not write with every request.
    fn record_use(&self, now: SystemTime) {
        let seconds = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(0);
        if self.last_used.load(Ordering::Relaxed) / 60 != seconds / 60 {
            self.last_used.store(seconds, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
