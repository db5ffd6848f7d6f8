//! Halves of characters in JSON of the service. A model that writes UTF-16 escapes can cut a character in two, into two
//! events or by the end of its answer. JSON with one half alone cannot be parsed.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use crate::call::Warnings;

/// The length of an escape such as `\ud83d`.
const ESCAPE: usize = 6;

const REPLACEMENT: &[u8; ESCAPE] = br"\ufffd";

/// Joins the halves that the events of one stream have apart.
#[derive(Debug, Default)]
pub struct Halves {
    /// The first half of a character, which ended a string. It is dropped if no second half follows, because then the answer
    /// ended inside the character.
    first: Option<[u8; ESCAPE]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

impl Halves {
    /// Returns `json` with both halves of each character. A half at the end of a string waits for a string that begins with
    /// the other. One in any other place is replaced, which adds a warning.
    pub fn join<'j>(&mut self, json: &'j [u8], warnings: &Warnings) -> Cow<'j, [u8]> {
        let has = |escape: &[u8]| memmem::find(json, escape).is_some();
        if !has(br"\ud") && !has(br"\uD") {
            return Cow::Borrowed(json);
        }
        let mut joined = Vec::new();
        // The bytes before are copied, and the escapes before are read.
        let (mut copied, mut read) = (0, 0);
        while let Some(at) = json.get(read..).and_then(|rest| memchr(b'\\', rest)) {
            let at = read + at;
            let is_first_of_string = at > read && json[at - 1] == b'"';
            let Some(half) = half(json, at) else {
                read = at + 2;
                continue;
            };
            let end = at + ESCAPE;
            if half == Half::First && self::half(json, end) == Some(Half::Second) {
                read = end + ESCAPE;
                continue;
            }
            joined.extend_from_slice(&json[copied..at]);
            (copied, read) = (end, end);
            let escape = &json[at..end];
            match (half, self.first) {
                (Half::First, None) if json.get(end) == Some(&b'"') => {
                    self.first = escape.try_into().ok();
                }
                (Half::Second, Some(first)) if is_first_of_string => {
                    self.first = None;
                    joined.extend([first.as_slice(), escape].concat());
                }
                _ => {
                    joined.extend(REPLACEMENT);
                    warnings.add("reply: half of a character was replaced by U+FFFD (Bedrock sent it without the other half)");
                }
            }
        }
        if copied == 0 {
            return Cow::Borrowed(json);
        }
        joined.extend_from_slice(&json[copied..]);
        Cow::Owned(joined)
    }
}

/// Returns which half of a character the escape at a place is, if it is one.
fn half(json: &[u8], at: usize) -> Option<Half> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(br"\u")?;
    let digits = str::from_utf8(digits).ok()?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..0xDC00 => Some(Half::First),
        0xDC00..0xE000 => Some(Half::Second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the texts in JSON strings, joined, and the number of warnings.
    fn read(strings: &[&str]) -> (String, usize) {
        let (mut halves, warnings) = (Halves::default(), Warnings::default());
        let mut text = String::new();
        for string in strings {
            let json = format!("{{\"delta\":\"{string}\"}}");
            let joined = halves.join(json.as_bytes(), &warnings);
            let value: serde_json::Value = serde_json::from_slice(&joined).unwrap();
            text.push_str(value["delta"].as_str().unwrap());
        }
        (text, warnings.texts().len())
    }

    #[test]
    fn halves_are_joined_over_events() {
        assert_eq!(read(&[r"a\ud83d\ude00b"]), ("a😀b".to_owned(), 0));
        assert_eq!(read(&[r"a\uD83D", r"\uDE00b"]), ("a😀b".to_owned(), 0));
        let apart = [r"\ud83d", "", r"\ude00\ud83d", r"\ude01"];
        assert_eq!(read(&apart), ("😀😁".to_owned(), 0));
        let ended = [r"end \ud83d"];
        assert_eq!(read(&ended), ("end ".to_owned(), 0), "the answer was cut");
    }

    #[test]
    fn half_without_the_other_is_replaced_with_a_warning() {
        for (strings, text) in [
            (&[r"a\ud83db"][..], "a\u{fffd}b"),
            (&[r"\ude00"], "\u{fffd}"),
            (&[r"a\ud83d", r"b\ude00"], "ab\u{fffd}"),
            (&[r#"\"\ude00"#, ""], "\"\u{fffd}"),
            (&[r"\ud83d\ud83d\ude00"], "\u{fffd}😀"),
        ] {
            assert_eq!(read(strings), (text.to_owned(), 1), "{strings:?}");
        }
    }

    #[test]
    fn escaped_backslash_begins_no_half() {
        let string = r"\\ud83d \\\ud83d\ude00 \u00e9\ud8";
        let json = format!("\"{string}");
        let joined = Halves::default().join(json.as_bytes(), &Warnings::default());
        assert_eq!(*joined, *json.as_bytes());
    }
}
