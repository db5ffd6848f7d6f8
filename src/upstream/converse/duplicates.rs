//! Removes repeated members from JSON that is forwarded as the client wrote it. Parsers disagree on such JSON, and
//! Bedrock rejects it.

use std::{borrow::Cow, ops::Range};

use serde_json::value::RawValue;

use super::raw::raw_json;
use crate::call::Warnings;

/// Returns `json` with the last of each group of members that have the same name, as most parsers do. If there was such a
/// group, warns with the path `at`. `place` is empty or says where in the value it was, as in ` in the arguments`.
pub fn unique<'a>(
    json: Cow<'a, RawValue>,
    at: &str,
    place: &str,
    warnings: &Warnings,
) -> Cow<'a, RawValue> {
    match without_duplicates(json.get()) {
        None => json,
        Some(text) => {
            warnings.add(format!(
                "{at}: of members with the same name{place}, only the last was sent (names must be unique)"
            ));
            raw_json(text)
        }
    }
}

/// An array or object that is not closed yet.
struct Open {
    is_object: bool,
    /// The index of its first member.
    first: usize,
    /// Whether the next string is a name.
    at_name: bool,
}

/// Returns the valid JSON text `json` without repeated members, or `None` if it has none. Does not recurse.
fn without_duplicates(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let mut open: Vec<Open> = Vec::new();
    // The place of each member's quoted name. Members of closed objects are removed.
    let mut members: Vec<Range<usize>> = Vec::new();
    let mut repeated: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at);
                if let Some(object) = open.last_mut().filter(|object| object.at_name) {
                    object.at_name = false;
                    members.push(at..end);
                }
                at = end;
                continue;
            }
            b'{' | b'[' => open.push(Open {
                is_object: *byte == b'{',
                first: members.len(),
                at_name: *byte == b'{',
            }),
            b',' => {
                if let Some(container) = open.last_mut() {
                    container.at_name = container.is_object;
                }
            }
            b'}' | b']' => {
                if let Some(container) = open.pop() {
                    find_repeated(json, &members[container.first..], &mut repeated);
                    members.truncate(container.first);
                }
            }
            _ => {}
        }
        at += 1;
    }
    (!repeated.is_empty()).then(|| without(json, repeated))
}

/// Returns the end of the string that starts at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Adds the range of every member that a later one repeats, up to the start of the member after it.
fn find_repeated(json: &str, members: &[Range<usize>], repeated: &mut Vec<Range<usize>>) {
    if members.len() < 2 {
        return;
    }
    let name = |place: &Range<usize>| {
        let quoted = &json[place.clone()];
        match quoted.contains('\\') {
            true => serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned),
            false => Cow::Borrowed(quoted.trim_matches('"')),
        }
    };
    let mut names: Vec<(Cow<'_, str>, usize)> = members.iter().map(name).zip(0..).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if let [(earlier, index), (later, _)] = pair
            && earlier == later
        {
            repeated.push(members[*index].start..members[*index + 1].start);
        }
    }
}

/// Returns `text` without `ranges`. Ranges may contain each other.
fn without(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        if range.start > at {
            kept.push_str(&text[at..range.start]);
        }
        at = at.max(range.end);
    }
    kept.push_str(&text[at..]);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_last_member_of_a_name_remains_at_any_depth() {
        for (json, expected) in [
            (r#"{"a":1}"#, None),
            (r#"[{"a":1},{"a":2}]"#, None),
            (
                r#"{"a":{"a":"a","b":["a","a"]},"b":"{\"a\":1,\"a\":2}"}"#,
                None,
            ),
            (r#"{"a":1,"a":2}"#, Some(r#"{"a":2}"#)),
            (
                r#"{ "a" : 1 , "b" : 2 , "\u0061" : 3 }"#,
                Some(r#"{ "b" : 2 , "\u0061" : 3 }"#),
            ),
            (
                r#"{"a":{"b":1,"b":2},"a":{"c":[{"d":1,"d":[]}]}}"#,
                Some(r#"{"a":{"c":[{"d":[]}]}}"#),
            ),
            (r#"{"a":1,"a":2,"a":3,"":0,"":1}"#, Some(r#"{"a":3,"":1}"#)),
        ] {
            assert_eq!(without_duplicates(json).as_deref(), expected, "{json}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(without_duplicates(&deep), None);
    }

    /// Writes a value with members that may repeat.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("1".to_owned()),
            Just("\"{,\\\"\"".to_owned()),
            Just("[]".to_owned())
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let member =
                ("[ab]?", inner.clone()).prop_map(|(name, value)| format!("\"{name}\" : {value}"));
            prop_oneof![
                prop::collection::vec(member, 0..5)
                    .prop_map(|members| format!("{{{}}}", members.join(" , "))),
                prop::collection::vec(inner, 0..4)
                    .prop_map(|items| format!("[{}]", items.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_meaning_is_that_of_a_parser_that_keeps_the_last_member(json in json()) {
            let value: Value = serde_json::from_str(&json).unwrap();
            match without_duplicates(&json) {
                None => prop_assert_eq!(json.split_whitespace().collect::<String>(), value.to_string()),
                Some(text) => {
                    prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
                    prop_assert_eq!(without_duplicates(&text), None);
                }
            }
        }
    }
}
