//! Key pairs for AWS SDKs, which sign their requests instead of sending a secret. A pair is derived from the operator's
//! secret and from the digest of the key's own secret, so that nothing more is stored: neither the store nor the secret
//! of the operator is enough to sign. A rotated key has another pair.

use std::sync::Arc;

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    hmac::{self, HMAC_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::call::Secret;

/// The start of the access key ids of this gateway.
const PREFIX: &str = "LNTL";

/// The longest access key id that AWS allows.
const MAX_ACCESS_KEY_ID: usize = 128;

/// Derives the pairs of all keys. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AwsPairs(Arc<[hmac::Key]>);

/// The key pair of a key of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsPair {
    pub access_key_id: String,
    pub secret_access_key: Secret,
}

impl AwsPairs {
    /// Derives pairs from the operator's secrets. The pairs of the first are issued, and those of all are accepted, so that
    /// secrets can be replaced. Without a secret, there are no pairs.
    pub fn new(secrets: &[Secret]) -> Self {
        let secrets = secrets.iter().map(|secret| secret.expose().as_bytes());
        Self(secrets.filter_map(derive).collect())
    }

    /// Reports whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the pair of the key with this id and the SHA-256 digest of its secret. Returns `None` without an operator's
    /// secret, or if the id is too long for an access key id.
    pub fn issue(&self, key_id: &str, digest: &[u8; 32]) -> Option<AwsPair> {
        let access_key_id = format!("{PREFIX}{}", hex::encode_upper(key_id));
        (access_key_id.len() <= MAX_ACCESS_KEY_ID).then_some(())?;
        Some(AwsPair {
            access_key_id,
            secret_access_key: secret(self.0.first()?, key_id, digest),
        })
    }

    /// Returns the secret access keys that are accepted for a key, the issued one first.
    pub fn accepted(&self, key_id: &str, digest: &[u8; 32]) -> impl Iterator<Item = Secret> {
        self.0.iter().map(|key| secret(key, key_id, digest))
    }
}

/// Returns the id of the key that an access key id names, or `None` if this gateway issues no such access key id.
pub fn key_id(access_key_id: &str) -> Option<String> {
    let digits = access_key_id.strip_prefix(PREFIX)?;
    // Each key has one access key id.
    let is_canonical = !digits.bytes().any(|digit| digit.is_ascii_lowercase());
    let bytes = hex::decode(digits).ok().filter(|_| is_canonical)?;
    String::from_utf8(bytes).ok().filter(|id| !id.is_empty())
}

fn secret(key: &hmac::Key, key_id: &str, digest: &[u8; 32]) -> Secret {
    // The digest has a fixed length, so no two keys have the same input.
    let tag = hmac::sign(key, &[digest, key_id.as_bytes()].concat());
    Secret::new(URL_SAFE_NO_PAD.encode(tag))
}

fn derive(secret: &[u8]) -> Option<hmac::Key> {
    let pseudo_random = Salt::new(HKDF_SHA256, b"lintel").extract(secret);
    let mut key = [0; 32];
    let derived = pseudo_random.expand(&[b"sigv4"], HKDF_SHA256).ok()?;
    derived.fill(&mut key).ok()?;
    Some(hmac::Key::new(HMAC_SHA256, &key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(secrets: &[&str]) -> AwsPairs {
        let secrets: Vec<Secret> = secrets.iter().map(|one| Secret::new(*one)).collect();
        AwsPairs::new(&secrets)
    }

    #[test]
    fn pair_depends_on_the_key_its_secret_and_the_secret_of_the_operator() {
        let pair = pairs(&["one"]).issue("4fGh2kLm9QrS", &[1; 32]).unwrap();
        assert_eq!(pair.access_key_id, "LNTL34664768326B4C6D39517253");
        assert_eq!(key_id(&pair.access_key_id).as_deref(), Some("4fGh2kLm9QrS"));
        assert_eq!(pair.secret_access_key.expose().len(), 43);
        assert_eq!(
            pairs(&["one"]).issue("4fGh2kLm9QrS", &[1; 32]),
            Some(pair.clone())
        );
        for other in [
            pairs(&["two"]).issue("4fGh2kLm9QrS", &[1; 32]),
            pairs(&["one"]).issue("4fGh2kLm9QrT", &[1; 32]),
            pairs(&["one"]).issue("4fGh2kLm9QrS", &[2; 32]),
        ] {
            assert_ne!(other.unwrap().secret_access_key, pair.secret_access_key);
        }
    }

    #[test]
    fn pairs_of_a_replaced_secret_are_accepted_but_not_issued() {
        let old = pairs(&["old"]).issue("ci", &[1; 32]).unwrap();
        let both = pairs(&["new", "old"]);
        let accepted: Vec<Secret> = both.accepted("ci", &[1; 32]).collect();
        let new = both.issue("ci", &[1; 32]).unwrap();
        assert_eq!(accepted, [new.secret_access_key, old.secret_access_key]);
        assert_eq!(pairs(&[]).issue("ci", &[1; 32]), None);
    }

    #[test]
    fn foreign_access_key_ids_name_no_key() {
        assert_eq!(key_id("LNTL6369").as_deref(), Some("ci"));
        for foreign in [
            "",
            "LNTL",
            "AKIAIOSFODNN7EXAMPLE",
            "LNTL636",
            "LNTL6a",
            "LNTLFF",
            "lntl6369",
        ] {
            assert_eq!(key_id(foreign), None, "{foreign}");
        }
        assert_eq!(pairs(&["one"]).issue(&"x".repeat(63), &[1; 32]), None);
    }
}
