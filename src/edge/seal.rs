//! Sealed content: what a client keeps for the gateway and sends back, such as a model's reasoning. It is encrypted and
//! authenticated, and opens only for the key for which it was sealed. Nothing is stored, so every replica with the same
//! secret can open it.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, Salt},
    rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::call::Secret;

/// The start of all sealed content of this version.
const PREFIX: &str = "lt1.";

/// The most bytes that are sealed. Bounds what a client has to carry.
const MAX_CONTENT: usize = 1 << 20;

/// What content is for. Content of one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The reasoning of a turn.
    Reasoning,
    /// The summary of a conversation.
    Compaction,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning",
            Self::Compaction => "compaction",
        }
    }
}

/// Seals content for one key of the gateway, and opens it.
#[derive(Clone, Debug)]
pub struct Seals(Arc<[RandomizedNonceKey]>);

impl Seals {
    /// Derives the encryption keys from secrets. The first seals, and all open, so that secrets can be replaced. Without a
    /// secret, content opens only in this process.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut random = [0; 32];
        // Without a source of randomness nothing is sealed, because anybody could open it.
        let has_own = secrets.is_empty() && rand::fill(&mut random).is_ok();
        let own = has_own.then_some(random.as_slice());
        let secrets = secrets.iter().map(|secret| secret.expose().as_bytes());
        Self(secrets.chain(own).filter_map(derive).collect())
    }

    /// Returns `content` in sealed form, for `key_id`. Returns `None` if it is longer than one mebibyte.
    pub fn seal(&self, purpose: Purpose, key_id: &str, content: &[u8]) -> Option<String> {
        let key = self.0.first().filter(|_| content.len() <= MAX_CONTENT)?;
        let mut sealed = content.to_vec();
        let nonce = key
            .seal_in_place_append_tag(associated(purpose, key_id), &mut sealed)
            .ok()?;
        let bytes = [nonce.as_ref().as_slice(), &sealed].concat();
        Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Returns the content of what [`seal`](Self::seal) returned for the same purpose and key. Returns `None` for anything
    /// else.
    pub fn open(&self, purpose: Purpose, key_id: &str, sealed: &str) -> Option<Vec<u8>> {
        let encoded = sealed.strip_prefix(PREFIX)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        self.0.iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut sealed = sealed.to_vec();
            let content = key
                .open_in_place(nonce, associated(purpose, key_id), &mut sealed)
                .ok()?;
            Some(content.to_vec())
        })
    }
}

/// The data that is authenticated with the content.
fn associated(purpose: Purpose, key_id: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("{}\0{key_id}", purpose.as_str()).into_bytes())
}

fn derive(secret: &[u8]) -> Option<RandomizedNonceKey> {
    let pseudo_random = Salt::new(HKDF_SHA256, b"lintel").extract(secret);
    let mut key = [0; 32];
    let derived = pseudo_random.expand(&[b"seal"], HKDF_SHA256).ok()?;
    derived.fill(&mut key).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seals(secrets: &[&str]) -> Seals {
        let secrets: Vec<Secret> = secrets.iter().map(|one| Secret::new(*one)).collect();
        Seals::new(&secrets)
    }

    #[test]
    fn content_opens_only_for_its_key_and_purpose() {
        let seals = seals(&["a secret of the operator"]);
        let sealed = seals
            .seal(Purpose::Reasoning, "alice", b"a thought")
            .unwrap();
        let open = |purpose, key_id| seals.open(purpose, key_id, &sealed);
        assert_eq!(
            open(Purpose::Reasoning, "alice").as_deref(),
            Some(b"a thought".as_slice())
        );
        assert_eq!(open(Purpose::Reasoning, "bob"), None);
        assert_eq!(open(Purpose::Compaction, "alice"), None);
    }

    #[test]
    fn changed_content_does_not_open() {
        let seals = seals(&[]);
        let sealed = seals
            .seal(Purpose::Reasoning, "alice", b"a thought")
            .unwrap();
        for at in PREFIX.len()..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(seals.open(Purpose::Reasoning, "alice", &changed), None);
        }
        for foreign in ["", "lt1.", "lt1.AAAA", "gAAAAABk", &sealed[..20]] {
            assert_eq!(seals.open(Purpose::Reasoning, "alice", foreign), None);
        }
    }

    #[test]
    fn replaced_secret_still_opens() {
        let old = seals(&["the old secret"]);
        let sealed = old.seal(Purpose::Compaction, "alice", b"x").unwrap();
        let both = seals(&["the new secret", "the old secret"]);
        assert!(both.open(Purpose::Compaction, "alice", &sealed).is_some());
        let new = seals(&["the new secret"]);
        assert!(new.open(Purpose::Compaction, "alice", &sealed).is_none());
    }

    #[test]
    fn too_long_content_is_not_sealed() {
        let content = vec![0; MAX_CONTENT + 1];
        assert_eq!(seals(&[]).seal(Purpose::Reasoning, "alice", &content), None);
    }
}
