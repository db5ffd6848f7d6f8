//! Encryption of what is stored, with AES-256-GCM.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};

use crate::call::Secret;

/// Encrypts contents if there is a key.
#[derive(Debug)]
pub struct Cipher {
    key: Option<RandomizedNonceKey>,
    name: String,
}

/// The length of a key's name, in bytes.
struct NameLength;

impl KeyType for NameLength {
    fn len(&self) -> usize {
        8
    }
}

impl Cipher {
    /// Creates a cipher whose key is derived from `secret`, or one that does not encrypt.
    pub fn new(secret: Option<&Secret>) -> Self {
        let derived = secret.and_then(|secret| {
            let bytes = secret.expose().as_bytes();
            let pseudo_random = Salt::new(HKDF_SHA256, b"lintel").extract(bytes);
            Some((key(&pseudo_random)?, name(&pseudo_random)?))
        });
        match derived {
            Some((key, name)) => Self {
                key: Some(key),
                name,
            },
            None => Self {
                key: None,
                name: String::new(),
            },
        }
    }

    /// Returns what tells this key from others, without revealing it. Empty if nothing is encrypted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Encrypts the content of the response `id`. Returns `None` only if the system has no source of randomness.
    pub fn seal(&self, key_id: &str, id: &str, content: &[u8]) -> Option<Vec<u8>> {
        let Some(key) = &self.key else {
            return Some(content.to_vec());
        };
        let mut sealed = content.to_vec();
        let nonce = key
            .seal_in_place_append_tag(associated(key_id, id), &mut sealed)
            .ok()?;
        sealed.extend_from_slice(nonce.as_ref());
        Some(sealed)
    }

    /// Decrypts what [`seal`](Self::seal) returned for the same response. Returns `None` for anything else.
    pub fn open(&self, key_id: &str, id: &str, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let key = self.key.as_ref()?;
        let at = sealed.len().checked_sub(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed.split_off(at)).ok()?;
        let length = key
            .open_in_place(nonce, associated(key_id, id), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// The data that is authenticated with the content.
fn associated(key_id: &str, id: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("response\0{key_id}\0{id}").into_bytes())
}

fn key(pseudo_random: &Prk) -> Option<RandomizedNonceKey> {
    let mut key = [0; 32];
    let derived = pseudo_random.expand(&[b"store"], HKDF_SHA256).ok()?;
    derived.fill(&mut key).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
}

fn name(pseudo_random: &Prk) -> Option<String> {
    let mut name = [0; 8];
    let derived = pseudo_random.expand(&[b"store name"], NameLength).ok()?;
    derived.fill(&mut name).ok()?;
    Some(hex::encode(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(secret: &str) -> Cipher {
        Cipher::new(Some(&Secret::new(secret)))
    }

    #[test]
    fn content_opens_only_with_its_key_and_for_its_response() {
        let cipher = cipher("the key of an operator");
        let sealed = cipher.seal("alice", "resp_1", b"a secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        let open = |key_id, id| cipher.open(key_id, id, sealed.clone());
        assert_eq!(open("alice", "resp_1").as_deref(), Some(&b"a secret"[..]));
        assert_eq!(open("bob", "resp_1"), None);
        assert_eq!(open("alice", "resp_2"), None);
        let other = super::tests::cipher("another key");
        assert_ne!(other.name(), cipher.name());
        assert_eq!(other.open("alice", "resp_1", sealed.clone()), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(cipher.open("alice", "resp_1", changed), None);
        }
        assert_eq!(cipher.open("alice", "resp_1", vec![1]), None);
    }

    #[test]
    fn without_a_key_content_stays_as_it_is() {
        let cipher = Cipher::new(None);
        assert_eq!(cipher.name(), "");
        assert_eq!(
            cipher.seal("alice", "resp_1", b"x").as_deref(),
            Some(&b"x"[..])
        );
    }
}
