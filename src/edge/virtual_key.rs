//! The secrets of virtual keys: `sk-lintel-`, a public id of 12 characters, `-`, 43 random ones, and a checksum of 6, by
//! which typing errors and scanners' finds are told without a look-up. 43 characters of 62 kinds are 256 bits.

/// What every secret begins with.
const PREFIX: &str = "sk-lintel-";
const ID: usize = 12;
const RANDOM: usize = 43;
const CHECKSUM: usize = 6;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A secret for the key with the public id `id`, or for a new one.
///
/// # Errors
/// If the system has no random numbers.
pub fn generate(id: Option<&str>) -> Result<(String, String), getrandom::Error> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => random(ID)?,
    };
    let body = format!("{PREFIX}{id}-{}", random(RANDOM)?);
    let secret = format!("{body}{}", checksum(&body));
    Ok((id, secret))
}

/// What a presented secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// A virtual key's, by its public id.
    Virtual(&'a str),
    /// It looks like one, but nobody has made it.
    Damaged,
    /// A static key's, perhaps.
    Other,
}

/// Reads the public id.
pub fn read(secret: &[u8]) -> Presented<'_> {
    let Some(rest) = std::str::from_utf8(secret)
        .ok()
        .and_then(|text| text.strip_prefix(PREFIX))
    else {
        return Presented::Other;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((id, random)) = rest.split_once('-') else {
        return Presented::Damaged;
    };
    if id.len() != ID || random.len() != RANDOM + CHECKSUM || !digits(id) || !digits(random) {
        return Presented::Damaged;
    }
    let (random, given) = random.split_at(RANDOM);
    match checksum(&format!("{PREFIX}{id}-{random}")) == given {
        true => Presented::Virtual(id),
        false => Presented::Damaged,
    }
}

fn random(count: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(count);
    let mut bytes = [0u8; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes)?;
        // Above the last multiple of 62 the first digits would be more likely.
        let fair = bytes
            .iter()
            .filter(|byte| **byte < 248)
            .map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(fair.take(count - text.len()));
    }
    Ok(text)
}

/// CRC-32 in base 62.
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
    fn a_typing_error_is_told_without_a_look_up() {
        let (id, secret) = generate(None).unwrap();
        assert_eq!(secret.len(), PREFIX.len() + ID + 1 + RANDOM + CHECKSUM);
        assert_eq!(read(secret.as_bytes()), Presented::Virtual(&id));
        for at in PREFIX.len()..secret.len() {
            let mut typo = secret.clone().into_bytes();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(read(&typo), Presented::Damaged, "at {at}");
        }
        assert_eq!(
            read(&secret.as_bytes()[..secret.len() - 1]),
            Presented::Damaged
        );
        assert_eq!(read(b"sk-something-else"), Presented::Other);
        let (same, other) = generate(Some(&id)).unwrap();
        assert!(same == id && other != secret);
    }
}
