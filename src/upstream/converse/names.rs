//! Maps the client's tool names and tool call ids to ones that Bedrock accepts.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use sha2::{Digest, Sha256};

use crate::model::{Model, ToolNameForm, ToolUseIdForm};

/// Maximum length of the service model's ToolName, which is 1 to 64 letters, digits, `_` and `-`.
const NAME_MAX: usize = 64;

/// The tool names of one request.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// What the model accepts as a name.
    form: ToolNameForm,
    /// Sent names by the client's names.
    sent: HashMap<&'a str, Cow<'a, str>>,
    /// All sent names.
    used: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Creates an empty list of names of this form.
    pub fn of(form: ToolNameForm) -> Self {
        Self {
            form,
            ..Self::default()
        }
    }

    /// Registers a name that the service uses. The client's tool of this name gets another one.
    pub fn occupy(&mut self, name: &'a str) {
        self.used.insert(Cow::Borrowed(name));
    }

    /// Registers the valid names among `names`. Must run before names are changed, so that a changed name never collides
    /// with a valid one.
    pub fn reserve(&mut self, names: impl Iterator<Item = &'a str>) {
        let form = self.form;
        for name in names.filter(|name| is_valid(name, form)) {
            if self.used.insert(Cow::Borrowed(name)) {
                self.sent.insert(name, Cow::Borrowed(name));
            }
        }
    }

    /// Returns the name to send for `name`, always the same one.
    pub fn sent(&mut self, name: &'a str) -> Cow<'a, str> {
        if let Some(sent) = self.sent.get(name) {
            return sent.clone();
        }
        let sent = if is_valid(name, self.form) && !self.used.contains(name) {
            Cow::Borrowed(name)
        } else {
            self.derive(name)
        };
        self.used.insert(sent.clone());
        self.sent.insert(name, sent.clone());
        sent
    }

    /// Returns a name derived from `wish` that no other tool of the request has, and registers it.
    pub fn unique(&mut self, wish: &str) -> String {
        let name = self.derive(wish).into_owned();
        self.used.insert(Cow::Owned(name.clone()));
        name
    }

    /// Returns a valid, unused name: replaces invalid characters with `_` and appends a hash on truncation or collision.
    fn derive(&self, wish: &str) -> Cow<'a, str> {
        let is_identifier = self.form == ToolNameForm::Identifier;
        let allowed = |c: char| match c {
            '-' if is_identifier => '_',
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') => c,
            _ => '_',
        };
        let mut name: String = wish.chars().take(NAME_MAX).map(allowed).collect();
        if name.is_empty() {
            name.push_str("tool");
        }
        if is_identifier && name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, '_');
            name.truncate(NAME_MAX);
        }
        if wish.chars().count() > NAME_MAX || self.used.contains(name.as_str()) {
            name.truncate(NAME_MAX - 9);
            name.push('_');
            name.push_str(&hash(wish)[..8]);
        }
        Cow::Owned(name)
    }

    /// Returns the client's names by the sent names, for names that were changed.
    pub fn changed(&self) -> HashMap<String, String> {
        let changed = self.sent.iter().filter(|(client, sent)| client != sent);
        changed
            .map(|(client, sent)| (sent.clone().into_owned(), (*client).to_owned()))
            .collect()
    }
}

fn is_valid(name: &str, form: ToolNameForm) -> bool {
    let is_in_form = match form {
        ToolNameForm::Any => true,
        ToolNameForm::Identifier => {
            !name.contains('-') && !name.starts_with(|c: char| c.is_ascii_digit())
        }
    };
    is_in_form
        && (1..=NAME_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Returns `id` if `form` allows it, else a hash of it. A call and its result get the same id.
pub fn tool_use_id<'a>(id: &Cow<'a, str>, form: ToolUseIdForm) -> Cow<'a, str> {
    let is_valid = match form {
        ToolUseIdForm::Any => {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'))
        }
        ToolUseIdForm::NineAlphanumerics => {
            id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric())
        }
    };
    if is_valid {
        id.clone()
    } else {
        hashed_id(id, form)
    }
}

/// Returns an id of the given form, derived from a hash of `text`.
pub fn hashed_id<'a>(text: &str, form: ToolUseIdForm) -> Cow<'a, str> {
    let hash = hash(text);
    Cow::Owned(match form {
        ToolUseIdForm::Any => format!("call_{}", &hash[..24]),
        ToolUseIdForm::NineAlphanumerics => hash[..9].to_owned(),
    })
}

/// Returns the mark that the gateway adds to reasoning of `model`, so that it is never sent to another model.
pub fn reasoning_mark(model: &Model) -> String {
    mark_of(model.base.as_deref().unwrap_or(&model.target().id))
}

/// Returns the mark of reasoning with this origin.
pub fn mark_of(origin: &str) -> String {
    format!("lintel.{}.", &hash(origin)[..8])
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_names_do_not_collide_with_other_names() {
        let long = "x".repeat(65);
        let mut names = Names::default();
        names.reserve(["a_b", "a.b", long.as_str()].into_iter());
        let changed = names.sent("a.b");
        assert!(
            changed.starts_with("a_b_") && is_valid(&changed, ToolNameForm::Any),
            "{changed}"
        );
        assert_eq!(names.sent("a.b"), changed);
        assert_eq!(names.sent("a_b"), "a_b");
        assert!(is_valid(&names.sent(&long), ToolNameForm::Any));
        let other = names.sent("a b").into_owned();
        assert_ne!(other, changed);
        assert_eq!(names.changed().get(&other).map(String::as_str), Some("a b"));
        assert!(!names.changed().contains_key("a_b"));
        assert_ne!(names.unique("a_b"), "a_b");
    }

    #[test]
    fn names_of_identifiers_have_no_hyphens_and_begin_with_no_digit() {
        let mut names = Names::of(ToolNameForm::Identifier);
        names.reserve(["get_it", "get-it", "2nd"].into_iter());
        assert_eq!(names.sent("get_it"), "get_it");
        assert_eq!(names.sent("2nd"), "_2nd");
        let changed = names.sent("get-it");
        assert!(changed.starts_with("get_it_"), "{changed}");
        assert_eq!(names.changed().get("_2nd").map(String::as_str), Some("2nd"));
    }
}
