//! The secrets of virtual keys: `sk-lintel-`, a public ID of 12 characters, `-`, 43 random characters (256 bits in
//! base 62) and a checksum of 6 characters. The checksum detects typing errors and false positives of secret scanners
//! without a lookup.

/// The prefix of every secret.
pub const PREFIX: &str = "sk-lintel-";
const ID: usize = 12;
const RANDOM: usize = 43;
const CHECKSUM: usize = 6;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Generates a secret for the key with the public ID `id`, or for a new key. Returns the public ID and the secret.
///
/// # Errors
/// If the system's random number generator fails.
pub fn generate(id: Option<&str>) -> Result<(String, String), getrandom::Error> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => random(ID)?,
    };
    let body = format!("{PREFIX}{id}-{}", random(RANDOM)?);
    let secret = format!("{body}{}", checksum(&body));
    Ok((id, secret))
}

/// The kind of a secret, judged by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind<'a> {
    /// The secret of a virtual key, with its public ID.
    Virtual(&'a str),
    /// The prefix of a virtual key, but an invalid form or checksum.
    Malformed,
    /// Any other secret; may belong to a static key.
    Other,
}

/// Classifies a secret by its prefix, form and checksum.
pub fn classify(secret: &[u8]) -> SecretKind<'_> {
    let Some(rest) = std::str::from_utf8(secret)
        .ok()
        .and_then(|text| text.strip_prefix(PREFIX))
    else {
        return SecretKind::Other;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((id, random)) = rest.split_once('-') else {
        return SecretKind::Malformed;
    };
    if id.len() != ID || random.len() != RANDOM + CHECKSUM || !digits(id) || !digits(random) {
        return SecretKind::Malformed;
    }
    let (random, given) = random.split_at(RANDOM);
    match checksum(&format!("{PREFIX}{id}-{random}")) == given {
        true => SecretKind::Virtual(id),
        false => SecretKind::Malformed,
    }
}

fn random(count: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(count);
    let mut bytes = [0u8; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 in a byte. Without this filter, the first 8 digits would be more likely.
        let fair = bytes
            .iter()
            .filter(|byte| **byte < 248)
            .map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(fair.take(count - text.len()));
    }
    Ok(text)
}

/// Returns the CRC-32 of `text` in base 62.
fn checksum(text: &str) -> String {
    let mut left = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(left % 62) as usize];
        left /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_character_typo_is_detected() {
        let (id, secret) = generate(None).unwrap();
        assert_eq!(secret.len(), PREFIX.len() + ID + 1 + RANDOM + CHECKSUM);
        assert_eq!(classify(secret.as_bytes()), SecretKind::Virtual(&id));
        for at in PREFIX.len()..secret.len() {
            let mut typo = secret.clone().into_bytes();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(classify(&typo), SecretKind::Malformed, "at {at}");
        }
        assert_eq!(
            classify(&secret.as_bytes()[..secret.len() - 1]),
            SecretKind::Malformed
        );
        assert_eq!(classify(b"sk-something-else"), SecretKind::Other);
        let (same, other) = generate(Some(&id)).unwrap();
        assert!(same == id && other != secret);
    }
}
