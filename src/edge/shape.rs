//! Bounds the number of values in a body before it is parsed.

use memchr::memchr2;

use crate::error::{Error, Kind};

/// The number of values that a body of any size may have.
const FREE: usize = 50_000;

/// The size in bytes for which a body may have one more value.
const BYTES_PER_VALUE: usize = 16;

/// Checks that `body` does not have so many values that they would need many times its size in memory. Allocates nothing,
/// and does not check that the body is valid JSON.
///
/// # Errors
/// 400 if the body has more values than its size allows.
pub fn check(body: &[u8]) -> Result<(), Error> {
    let max = FREE + body.len() / BYTES_PER_VALUE;
    match values(body, max) > max {
        true => Err(Error::new(
            Kind::InvalidRequest,
            format!(
                "The body has too many JSON values for its size: its {} bytes may have at most {max} (objects, lists, and what they contain). \
                 Send long lists as text.",
                body.len()
            ),
        )
        .with_code("too_many_values")),
        false => Ok(()),
    }
}

/// Returns the number of objects, lists, and commas between values. Stops counting above `max`.
fn values(body: &[u8], max: usize) -> usize {
    let mut count = 0;
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_string(after),
            b'{' | b'[' | b',' => {
                count += 1;
                if count > max {
                    return count;
                }
            }
            _ => {}
        }
    }
    count
}

/// Returns what follows the string whose content `rest` begins with.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let is_escape = rest[at] == b'\\';
        rest = rest
            .get(at + 1 + usize::from(is_escape)..)
            .unwrap_or_default();
        if !is_escape {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_strings_are_not_counted() {
        let body = br#"{"a": "[{,\"[,\\", "b": [1, {}, []], "c\\": ","}"#;
        assert_eq!(values(body, 100), 8);
        assert_eq!(values(body, 3), 4);
        for broken in [&b"\"a\\"[..], b"\"\\\"", b"\"", b""] {
            assert_eq!(values(broken, 9), 0);
        }
    }

    #[test]
    fn large_bodies_may_have_more_values() {
        let body = |values: usize, text: usize| {
            format!("[{}\"{}\"]", "0,".repeat(values), "x".repeat(text)).into_bytes()
        };
        assert!(check(&body(50_000, 0)).is_ok());
        assert!(check(&body(80_000, 0)).is_err());
        assert!(check(&body(80_000, 600_000)).is_ok());
    }
}
