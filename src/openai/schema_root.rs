//! The root of a JSON schema, read without parsing what is inside.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The keywords that combine schemas.
pub const UNIONS: [&str; 3] = ["oneOf", "anyOf", "allOf"];

/// The members at the root of a JSON schema, in order.
#[derive(Debug, Default)]
pub struct RootMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> RootMembers<'a> {
    /// Reads the members of `schema`. There are none if it is not an object.
    pub fn of(schema: &'a RawValue) -> Self {
        serde_json::from_str(schema.get()).unwrap_or_default()
    }

    /// Returns the last member with this name.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rfind(|(member, _)| member == name);
        found.map(|(_, value)| *value)
    }

    /// Reports whether any of `names` is a member.
    pub fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }

    /// Iterates over the names of all members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RootMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Members).map(Self)
    }
}

/// A member's name, borrowed if it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_those_of_the_root_only() {
        let schema: Box<RawValue> =
            serde_json::from_str(r#"{"type":"object","p\u0041":{"anyOf":[]},"type":null}"#)
                .unwrap();
        let root = RootMembers::of(&schema);
        assert_eq!(root.names().collect::<Vec<_>>(), ["type", "pA", "type"]);
        assert_eq!(root.get("type").unwrap().get(), "null");
        assert!(root.has(&["x", "pA"]) && !root.has(&UNIONS));
        let list: Box<RawValue> = serde_json::from_str("[1]").unwrap();
        assert_eq!(RootMembers::of(&list).names().count(), 0);
    }
}
