//! Names of tools and ids of calls: those of the client, and those that the service accepts. One map a request.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use sha2::{Digest, Sha256};

use crate::model::{Model, ToolUseIdForm};

/// The service model's ToolName: 1 to 64 letters, digits, `_` and `-`.
const NAME_MAX: usize = 64;

/// The names of one request.
#[derive(Debug, Default)]
pub struct Names<'a> {
    sent: HashMap<&'a str, Cow<'a, str>>,
    used: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Registers names that need no change first, so that a mended name never takes one of theirs.
    pub fn reserve(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names.filter(|name| fits(name)) {
            self.used.insert(Cow::Borrowed(name));
            self.sent.insert(name, Cow::Borrowed(name));
        }
    }

    /// The name as it is sent; the same for the same name.
    pub fn sent(&mut self, name: &'a str) -> Cow<'a, str> {
        if let Some(sent) = self.sent.get(name) {
            return sent.clone();
        }
        let sent = if fits(name) {
            Cow::Borrowed(name)
        } else {
            self.free(name)
        };
        self.used.insert(sent.clone());
        self.sent.insert(name, sent.clone());
        sent
    }

    /// A name that no tool of the request has, made from `wish`.
    pub fn fresh(&mut self, wish: &str) -> String {
        let name = self.free(wish).into_owned();
        self.used.insert(Cow::Owned(name.clone()));
        name
    }

    fn free(&self, wish: &str) -> Cow<'a, str> {
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
                c
            } else {
                '_'
            }
        };
        let mut name: String = wish.chars().take(NAME_MAX).map(allowed).collect();
        if name.is_empty() {
            name.push_str("tool");
        }
        if wish.chars().count() > NAME_MAX || self.used.contains(name.as_str()) {
            name.truncate(NAME_MAX - 9);
            name.push('_');
            name.push_str(&hash(wish)[..8]);
        }
        Cow::Owned(name)
    }

    /// What was sent, and what the client calls it; only where the two differ.
    pub fn changed(&self) -> HashMap<String, String> {
        let changed = self.sent.iter().filter(|(client, sent)| client != sent);
        changed
            .map(|(client, sent)| (sent.clone().into_owned(), (*client).to_owned()))
            .collect()
    }
}

fn fits(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The id as it is where `form` allows it, else a hash of it: the same for call and result.
pub fn tool_use_id<'a>(id: &Cow<'a, str>, form: ToolUseIdForm) -> Cow<'a, str> {
    let fits = match form {
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
    if fits {
        id.clone()
    } else {
        hashed_id(id, form)
    }
}

/// An id made from `text`.
pub fn hashed_id<'a>(text: &str, form: ToolUseIdForm) -> Cow<'a, str> {
    let hash = hash(text);
    Cow::Owned(match form {
        ToolUseIdForm::Any => format!("call_{}", &hash[..24]),
        ToolUseIdForm::NineAlphanumerics => hash[..9].to_owned(),
    })
}

/// What the reasoning of a model is marked with, so that it goes back to no other.
pub fn mark_of(model: &Model) -> String {
    format!(
        "lintel.{}.",
        &hash(model.base.as_deref().unwrap_or(&model.target().id))[..8]
    )
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mended_names_collide_with_nothing() {
        let long = "x".repeat(65);
        let mut names = Names::default();
        names.reserve(["a_b", "a.b", long.as_str()].into_iter());
        let mended = names.sent("a.b");
        assert!(mended.starts_with("a_b_") && fits(&mended), "{mended}");
        assert_eq!(names.sent("a.b"), mended);
        assert_eq!(names.sent("a_b"), "a_b");
        assert!(fits(&names.sent(&long)));
        let other = names.sent("a b").into_owned();
        assert_ne!(other, mended);
        assert_eq!(names.changed().get(&other).map(String::as_str), Some("a b"));
        assert!(!names.changed().contains_key("a_b"));
        assert_ne!(names.fresh("a_b"), "a_b");
    }
}
