//! Searches JSON text without parsing it. A client may escape any character of a string, so that `"\u0024ref"` is `"$ref"`.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// Reports whether `json` contains `text`, whose characters may be escaped. `text` is printable ASCII, with quotes only
/// around it.
pub fn contains(json: &str, text: &str) -> bool {
    let find = |json: &str| memmem::find(json.as_bytes(), text.as_bytes()).is_some();
    find(json) || matches!(unescaped(json), Cow::Owned(json) if find(&json))
}

/// Returns the text without escapes of printable ASCII, except quotes and backslashes, so that it remains JSON of the same
/// value.
pub fn unescaped(json: &str) -> Cow<'_, str> {
    if memmem::find(json.as_bytes(), br"\u00").is_none() {
        return Cow::Borrowed(json);
    }
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let length = match printable(escape) {
            Some(character) => {
                plain.push(character);
                r"\u0024".len()
            }
            None => {
                // The second character may be a backslash, too.
                let mut ends = escape.char_indices().map(|(at, _)| at);
                let length = ends.nth(2).unwrap_or(escape.len());
                plain.push_str(&escape[..length]);
                length
            }
        };
        rest = &escape[length..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Returns the character that the escape at the start of `json` stands for.
fn printable(json: &str) -> Option<char> {
    let digits = json.strip_prefix(r"\u00")?.get(..2)?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    (byte.is_ascii_graphic() && byte != b'"' && byte != b'\\').then_some(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_any_of_their_characters_escaped() {
        for json in [
            r##"{"$ref": "#"}"##,
            r##"{"\u0024ref": "#"}"##,
            r##"{"a\\": "\n\u00e9", "$\u0072e\u0066": "#"}"##,
        ] {
            assert!(contains(json, "\"$ref\""), "{json}");
        }
        for json in [
            r#"{"\\u0024ref": 1}"#,
            r#"{"a": "\u0022$ref\u0022"}"#,
            r#"{"a": "\"$ref\""}"#,
            r#"{"a": "\u00"#,
            r#"{"a": "\u0024é\"#,
            r#"{"a": "\u002"#,
        ] {
            assert!(!contains(json, "\"$ref\""), "{json}");
        }
    }

    #[test]
    fn text_keeps_its_value() {
        let json =
            r#"{"\u0061\\u0062": "\u005c\u0022\u000a\ud83d\ude00\u0063\\", "d": "\\\u0065"}"#;
        let plain = unescaped(json);
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&plain), value(json));
        assert_eq!(plain.matches(r"\u006").count(), 1, "{plain}");
    }
}
