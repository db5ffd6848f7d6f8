//! All keys: static ones from the configuration, and virtual ones that are made at run time.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::virtual_key::{self, Presented};
use crate::call::Caller;

/// One static key; of the secret only its SHA-256 is kept.
#[derive(Clone, Debug)]
pub struct Key {
    pub digest: [u8; 32],
    pub expires: Option<SystemTime>,
    /// Addresses that may use it; none: all.
    pub allow_ips: Vec<IpNet>,
    pub caller: Arc<Caller>,
}

/// One key that was made at run time. After a rotation two secrets hold for a while.
#[derive(Debug)]
pub struct VirtualKey {
    /// Digests of its secrets, with until when they hold.
    pub digests: Vec<([u8; 32], Option<SystemTime>)>,
    pub expires: Option<SystemTime>,
    pub allow_ips: Vec<IpNet>,
    pub revoked: bool,
    pub caller: Arc<Caller>,
    /// Unix seconds, to the minute.
    pub last_used: AtomicI64,
}

/// Static keys by digest, which an attacker cannot steer bit by bit; virtual ones by public id. Digests are compared in
/// constant time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Keys(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    fixed: HashMap<[u8; 32], Key>,
    made: RwLock<HashMap<String, Arc<VirtualKey>>>,
}

impl Keys {
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        let fixed = keys.into_iter().map(|key| (key.digest, key)).collect();
        Self(Arc::new(Inner {
            fixed,
            made: RwLock::default(),
        }))
    }

    /// Puts a virtual key in place, or takes it out. Holds for the next request.
    pub fn put(&self, id: &str, key: Option<VirtualKey>) {
        let mut made = self.0.made.write().unwrap_or_else(PoisonError::into_inner);
        match key {
            Some(key) => made.insert(id.to_owned(), Arc::new(key)),
            None => made.remove(id),
        };
    }

    /// The caller that holds `secret` at `address`, or the bounded label of why there is none.
    ///
    /// # Errors
    /// One of `malformed`, `unknown`, `revoked`, `expired` and `address`.
    pub fn find(
        &self,
        secret: &[u8],
        address: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, &'static str> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let (expires, allow_ips, caller) = match virtual_key::read(secret) {
            Presented::Damaged => return Err("malformed"),
            Presented::Virtual(id) => {
                let key = self
                    .0
                    .made
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(id)
                    .cloned();
                // As much work for an id that nobody has.
                let holds = |(known, until): &([u8; 32], Option<SystemTime>)| {
                    let same = bool::from(known.ct_eq(&digest));
                    same && until.is_none_or(|until| until > now)
                };
                let nobody = [([0; 32], None)];
                let digests = key.as_ref().map_or(nobody.as_slice(), |key| &key.digests);
                let known = digests.iter().fold(false, |found, one| found | holds(one));
                let key = key.filter(|_| known).ok_or("unknown")?;
                if key.revoked {
                    return Err("revoked");
                }
                key.use_at(now);
                (key.expires, key.allow_ips.clone(), key.caller.clone())
            }
            Presented::Other => {
                let key = self
                    .0
                    .fixed
                    .get(&digest)
                    .filter(|key| bool::from(key.digest.ct_eq(&digest)));
                let key = key.ok_or("unknown")?;
                (key.expires, key.allow_ips.clone(), key.caller.clone())
            }
        };
        if expires.is_some_and(|expires| expires <= now) {
            return Err("expired");
        }
        let allowed = |address: IpAddr| {
            allow_ips
                .iter()
                .any(|net| net.contains(&address.to_canonical()))
        };
        if !allow_ips.is_empty() && !address.is_some_and(allowed) {
            return Err("address");
        }
        Ok(caller)
    }

    /// Virtual keys with when they were last used, in Unix seconds.
    pub fn last_used(&self) -> Vec<(String, i64)> {
        let made = self.0.made.read().unwrap_or_else(PoisonError::into_inner);
        made.iter()
            .map(|(id, key)| (id.clone(), key.last_used.load(Ordering::Relaxed)))
            .collect()
    }
}

impl VirtualKey {
    fn use_at(&self, now: SystemTime) {
        let seconds = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        let minute = i64::try_from(seconds / 60 * 60).unwrap_or(0);
        if self.last_used.load(Ordering::Relaxed) != minute {
            self.last_used.store(minute, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(id: &str) -> Arc<Caller> {
        Arc::new(Caller {
            key_id: id.into(),
            ..Caller::default()
        })
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn static_keys_expire_and_have_their_addresses() {
        let key = Key {
            digest: Sha256::digest(b"abc").into(),
            expires: Some(at(100)),
            allow_ips: vec!["10.0.0.0/8".parse().unwrap()],
            caller: caller("ci"),
        };
        let keys = Keys::new([key]);
        let (inside, outside) = (
            Some("10.1.2.3".parse().unwrap()),
            Some("11.1.2.3".parse().unwrap()),
        );
        assert!(keys.find(b"abc", inside, at(0)).is_ok());
        assert!(
            keys.find(b"abc", Some("::ffff:10.1.2.3".parse().unwrap()), at(0))
                .is_ok()
        );
        assert_eq!(keys.find(b"abc", outside, at(0)).err(), Some("address"));
        assert_eq!(keys.find(b"abc", None, at(0)).err(), Some("address"));
        assert_eq!(keys.find(b"abc", inside, at(100)).err(), Some("expired"));
        assert_eq!(keys.find(b"abd", inside, at(0)).err(), Some("unknown"));
    }

    #[test]
    fn virtual_keys_rotate_and_are_revoked() {
        let keys = Keys::default();
        let (id, old) = virtual_key::generate(None).unwrap();
        let (_, new) = virtual_key::generate(Some(&id)).unwrap();
        let digest = |secret: &str| Sha256::digest(secret.as_bytes()).into();
        let key = |revoked| VirtualKey {
            digests: vec![(digest(&new), None), (digest(&old), Some(at(50)))],
            expires: None,
            allow_ips: Vec::new(),
            revoked,
            caller: caller(&id),
            last_used: AtomicI64::default(),
        };
        assert_eq!(
            keys.find(new.as_bytes(), None, at(10)).err(),
            Some("unknown")
        );
        keys.put(&id, Some(key(false)));
        assert!(keys.find(new.as_bytes(), None, at(10_000)).is_ok());
        assert_eq!(keys.last_used(), [(id.clone(), 9960)]);
        assert!(
            keys.find(old.as_bytes(), None, at(49)).is_ok(),
            "both hold for a while"
        );
        assert_eq!(
            keys.find(old.as_bytes(), None, at(50)).err(),
            Some("unknown")
        );
        keys.put(&id, Some(key(true)));
        assert_eq!(
            keys.find(new.as_bytes(), None, at(10)).err(),
            Some("revoked")
        );
        assert_eq!(
            keys.find(&new.as_bytes()[1..], None, at(10)).err(),
            Some("unknown")
        );
    }
}
