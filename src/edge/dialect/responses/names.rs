//! The names of tools. Models have one list of tools, so a namespace becomes a part of the name, and is taken off again in
//! the reply.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

/// The name of the function that stands for the tool `tool_search`.
pub const TOOL_SEARCH: &str = "tool_search";

/// The tools of a request whose items differ from plain calls, by the name that the model sees.
#[derive(Debug, Default)]
pub struct ToolNames {
    plain: HashSet<String>,
    namespaced: BTreeMap<String, Named>,
    /// A tool search runs at the client.
    searches: bool,
}

/// The client's name of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub namespace: Option<String>,
    pub name: String,
}

impl ToolNames {
    /// Adds the name of a tool without a namespace.
    pub fn add_plain(&mut self, name: &str) {
        self.plain.insert(name.to_owned());
    }

    /// Makes calls of the function `tool_search` searches.
    pub fn add_search(&mut self) {
        self.searches = true;
        self.add_plain(TOOL_SEARCH);
    }

    /// Returns the name that the model sees. It is the same in every request that begins with the same tools, because a
    /// changed name would change the cached prompt.
    pub fn sent(&mut self, namespace: Option<&str>, name: &str) -> String {
        let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else {
            return name.to_owned();
        };
        let named = Named {
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        };
        let mut sent = format!("{namespace}__{name}");
        let is_free = |sent: &String| {
            let other = self.namespaced.get(sent);
            !self.plain.contains(sent) && other.is_none_or(|other| *other == named)
        };
        if !is_free(&sent) {
            let hash = Sha256::digest(format!("{namespace}\0{name}").as_bytes());
            sent = format!("{sent}_{}", hex::encode(&hash[..4]));
        }
        self.namespaced.insert(sent.clone(), named);
        sent
    }

    /// Returns the client's name of the tool that the model calls `sent`.
    pub fn client(&self, sent: &str) -> Named {
        let plain = || Named {
            namespace: None,
            name: sent.to_owned(),
        };
        self.namespaced.get(sent).cloned().unwrap_or_else(plain)
    }

    /// Reports whether a call of `sent` is a search for tools.
    pub fn is_search(&self, sent: &str) -> bool {
        self.searches && sent == TOOL_SEARCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_is_taken_off_again() {
        let mut names = ToolNames::default();
        let sent = names.sent(Some("clock"), "sleep");
        assert_eq!(sent, "clock__sleep");
        let named = names.client(&sent);
        assert_eq!(named.namespace.as_deref(), Some("clock"));
        assert_eq!(named.name, "sleep");
        assert_eq!(names.client("other").namespace, None);
    }

    #[test]
    fn equal_names_stay_apart() {
        let mut names = ToolNames::default();
        names.add_plain("a__b");
        let sent = names.sent(Some("a"), "b");
        assert_ne!(sent, "a__b");
        assert_eq!(names.client("a__b").namespace, None);
        let first = names.sent(Some("a"), "b__c");
        let second = names.sent(Some("a__b"), "c");
        assert_ne!(first, second);
        assert_eq!(names.client(&second).name, "c");
        assert_eq!(names.sent(Some("a"), "b__c"), first, "repeats");
    }
}
