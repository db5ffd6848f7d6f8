//! Members that no dialect defines. They come from other APIs and from clients' own formats. Most are dropped with a
//! warning, because the answer is only poorer without them. [`table`] has the exceptions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    call::Warnings,
    error::{Error, Kind},
};

mod table;

use table::{HARMLESS, WRONG};

/// The number of unknown members that warnings name; further ones are only counted.
const MAX_NAMED: usize = 8;

/// The number of members that are checked for an empty value. Bounds the work, because each check scans the body.
const MAX_CHECKED: usize = 8;

/// The number of unknown members that a body may have. Each costs time.
const MAX_UNKNOWN: usize = 100_000;

/// The longest path in a warning, in characters.
const MAX_PATH: usize = 80;

/// The unknown members of one body.
#[derive(Default)]
pub struct UnknownMembers {
    count: usize,
    named: Vec<String>,
    more: usize,
    wrong: Vec<(String, &'static str)>,
}

impl UnknownMembers {
    /// Adds the member at `path`, as serde_ignored reports it: `messages.0.?.name`.
    pub fn add(&mut self, path: &serde_ignored::Path<'_>) {
        self.count += 1;
        if self.count > MAX_UNKNOWN {
            return;
        }
        // serde_ignored writes `.?` after each optional member of the path.
        let path = path.to_string().replace(".?", "");
        let general = general_form(&path);
        if HARMLESS.contains(&general.as_str()) {
            return;
        }
        let mut wrong = WRONG.iter();
        if let Some((_, advice)) = wrong.find(|(members, _)| members.contains(&general.as_str())) {
            if self.wrong.len() < MAX_CHECKED {
                self.wrong.push((path, advice));
            }
        } else if self.named.len() < MAX_NAMED {
            self.named.push(path);
        } else {
            self.more += 1;
        }
    }

    /// Warns about the members, or rejects the request because of them. `body` is the whole body.
    ///
    /// # Errors
    /// 400 with the path of a member without which the answer would be wrong, and what to send instead; 400 for too many
    /// members.
    pub fn report(self, body: &[u8], warnings: &Warnings) -> Result<(), Error> {
        if self.count > MAX_UNKNOWN {
            let text = format!(
                "The body has more than {MAX_UNKNOWN} members that this API does not have."
            );
            return Err(Error::new(Kind::InvalidRequest, text).with_code("too_many_values"));
        }
        if self.wrong.is_empty() && self.named.is_empty() {
            return Ok(());
        }
        let members = serde_json::from_slice::<Members<'_>>(body);
        let members = members.unwrap_or_default();
        for (path, advice) in self.wrong {
            if !is_empty(value_at(&members, &path)) {
                let path = shown(&path);
                let text = format!("'{path}' is not supported here: {advice}.");
                return Err(Error::invalid(path, text).with_code("unsupported_parameter"));
            }
        }
        for path in self.named {
            if value_at(&members, &path).is_none_or(|value| value.get() != "null") {
                warnings.dropped(shown(&path), "unknown to this gateway");
            }
        }
        if self.more > 0 {
            let more = self.more;
            warnings.add(format!("{more} more unknown members were ignored"));
        }
        Ok(())
    }
}

/// The members of an object.
#[derive(Default, Deserialize)]
struct Members<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

/// Returns the path as errors and warnings write it, `messages[0].name`, and cut off if it is too long.
fn shown(path: &str) -> String {
    let mut shown = String::with_capacity(path.len() + 2);
    for segment in path.split('.') {
        if is_index(segment) {
            shown.push_str(&format!("[{segment}]"));
        } else {
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(segment);
        }
    }
    shown.chars().take(MAX_PATH).collect()
}

/// Returns the path with `[]` for each index: `messages[].name`.
fn general_form(path: &str) -> String {
    let mut general = String::with_capacity(path.len());
    for segment in path.split('.') {
        if is_index(segment) {
            general.push_str("[]");
        } else {
            if !general.is_empty() {
                general.push('.');
            }
            general.push_str(segment);
        }
    }
    general
}

fn is_index(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reports whether a value is null, false or empty, so that nothing is lost with it.
fn is_empty(value: Option<&RawValue>) -> bool {
    let Some(value) = value else { return false };
    let text: String = value.get().split_ascii_whitespace().take(3).collect();
    ["null", "false", "\"\"", "[]", "{}"].contains(&text.as_str())
}

/// Returns the value at `path` in the object with these members.
fn value_at<'a>(members: &Members<'a>, path: &str) -> Option<&'a RawValue> {
    let mut segments = path.split('.');
    let mut value = members.0.get(segments.next()?).copied()?;
    for segment in segments {
        value = if is_index(segment) {
            let list = serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?;
            list.get(segment.parse::<usize>().ok()?).copied()?
        } else {
            let Members(inner) = serde_json::from_str(value.get()).ok()?;
            inner.get(segment).copied()?
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_member_is_in_the_table_once() {
        let wrong = WRONG.iter().flat_map(|(members, _)| members.iter());
        let all: Vec<&&str> = HARMLESS.iter().chain(wrong).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn null_and_empty_members_lose_nothing() {
        let body =
            br#"{"a": null, "b": [{"c": {}}, {"c": [ ], "d": {"e": ""}}], "f": 0, "g": [null]}"#;
        let members = serde_json::from_slice(body).unwrap();
        for path in ["a", "b.0.c", "b.1.c", "b.1.d.e"] {
            assert!(is_empty(value_at(&members, path)), "{path}");
        }
        for path in ["b", "b.1.d", "f", "g", "h", "b.7", "a.b"] {
            assert!(!is_empty(value_at(&members, path)), "{path}");
        }
    }

    #[test]
    fn indexes_are_left_out_of_the_general_form() {
        assert_eq!(
            general_form("messages.12.content.0.x"),
            "messages[].content[].x"
        );
        assert_eq!(general_form("system"), "system");
    }
}
