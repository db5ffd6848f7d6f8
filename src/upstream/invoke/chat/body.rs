//! A JSON object that keeps the order of its members and the raw text of what clients sent.

use std::{collections::HashSet, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::error::{Error, Kind};

/// The body of a request, member by member.
#[derive(Debug, Default)]
pub struct Body(Vec<(String, Box<RawValue>)>);

impl Body {
    /// Reads a JSON object, whose members keep their order and their text.
    ///
    /// # Errors
    /// 400 if it is none, or has a member twice.
    pub fn read(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json).map_err(|_| {
            Error::invalid(
                "body",
                "The body must be a JSON object whose members have different names.",
            )
        })
    }

    /// Returns a member.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// Returns the members, in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// Returns the names of the members, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members().map(|(name, _)| name)
    }

    /// Removes a member. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| known != name);
        self.0.len() < before
    }

    /// Sets a member. Replaces an earlier value in its place.
    ///
    /// # Errors
    /// If the value cannot be serialized.
    pub fn set(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let value = raw(value)?;
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// Sets a member if there is a value.
    ///
    /// # Errors
    /// If the value cannot be serialized.
    pub fn set_some(&mut self, name: &str, value: Option<impl Serialize>) -> Result<(), Error> {
        value.map_or(Ok(()), |value| self.set(name, &value))
    }

    /// Sets a member unless the list is empty.
    ///
    /// # Errors
    /// If the list cannot be serialized.
    pub fn set_list(&mut self, name: &str, list: &[impl Serialize]) -> Result<(), Error> {
        match list.is_empty() {
            true => Ok(()),
            false => self.set(name, list),
        }
    }

    /// Sets the additional fields of a request, which are members of the family's own body. They replace what the gateway
    /// has set, as on Converse.
    ///
    /// # Errors
    /// If a field cannot be serialized.
    pub fn extend(&mut self, fields: &Map<String, Value>) -> Result<(), Error> {
        let mut new = Vec::new();
        let known: HashSet<String> = self.0.iter().map(|(name, _)| name.clone()).collect();
        for (name, value) in fields {
            match known.contains(name) {
                // The gateway's own members are few.
                true => self.set(name, value)?,
                false => new.push((name.clone(), raw(value)?)),
            }
        }
        self.0.append(&mut new);
        Ok(())
    }

    /// Returns the JSON text.
    pub fn into_bytes(self) -> Bytes {
        let mut text = String::from("{");
        for (nth, (name, value)) in self.0.iter().enumerate() {
            if nth > 0 {
                text.push(',');
            }
            text.push_str(&Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        text.into()
    }
}

fn raw(value: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, Error> {
    to_raw_value(value).map_err(|error| {
        let text = "The gateway could not serialize the request to Bedrock.";
        Error::new(Kind::Internal, text).with_detail(error.to_string())
    })
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Body;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut body = Body::default();
                while let Some(member) = map.next_entry()? {
                    body.0.push(member);
                }
                // Not looked up one by one, because a client can send any number of members.
                let mut names: Vec<&str> = body.0.iter().map(|(name, _)| &**name).collect();
                names.sort_unstable();
                match names.windows(2).any(|pair| pair[0] == pair[1]) {
                    true => Err(A::Error::custom("a member is repeated")),
                    false => Ok(body),
                }
            }
        }
        deserializer.deserialize_map(Members)
    }
}
