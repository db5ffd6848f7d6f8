//! Values by type: text, numbers, choices, tables.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use super::{Node, Section, Value};
use crate::config::tree::Origin;

impl Section<'_> {
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        self.read(key, "a string", |value| match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(None),
        })
    }

    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let path = self.path_of(key);
        let (items, origin) = self.read_raw(key, "a list of strings", |value| match value {
            Value::Array(items) => items
                .iter()
                .map(|item| match &item.value {
                    Value::String(text) => Ok(text.clone()),
                    _ => Err(None),
                })
                .collect::<Result<Vec<_>, _>>(),
            _ => Err(None),
        })?;
        self.diagnostics
            .resolved(path, format!("{items:?}"), origin);
        Some(items)
    }

    /// A table of whole numbers between 1 and `max`, by name.
    pub fn counts(&mut self, key: &'static str, max: u64) -> Option<BTreeMap<String, u32>> {
        let path = self.path_of(key);
        let (counts, origin) = self.read_raw(key, "a table of whole numbers", |value| {
            let Value::Table(table) = value else {
                return Err(None);
            };
            let count = |(name, node): (&String, &Node)| match &node.value {
                Value::Integer(integer) => match u32::try_from(*integer) {
                    Ok(count) if (1..=max).contains(&u64::from(count)) => Ok((name.clone(), count)),
                    _ => Err(Some(format!("'{name}' must be between 1 and {max}"))),
                },
                _ => Err(None),
            };
            table
                .iter()
                .map(count)
                .collect::<Result<BTreeMap<_, _>, _>>()
        })?;
        self.diagnostics
            .resolved(path, format!("{counts:?}"), origin);
        Some(counts)
    }

    /// A list of TCP ports.
    pub fn ports(&mut self, key: &'static str, default: &[u16]) -> Vec<u16> {
        let path = self.path_of(key);
        let read = self.read_raw(key, "a list of ports", |value| match value {
            Value::Array(items) => items
                .iter()
                .map(|item| match &item.value {
                    Value::Integer(port) => match u16::try_from(*port) {
                        Ok(port) if port > 0 => Ok(port),
                        _ => Err(Some("a port is between 1 and 65535".to_owned())),
                    },
                    _ => Err(None),
                })
                .collect::<Result<Vec<_>, _>>(),
            _ => Err(None),
        });
        let (ports, origin) = read.unwrap_or_else(|| (default.to_vec(), Origin::Default));
        self.diagnostics
            .resolved(path, format!("{ports:?}"), origin);
        ports
    }

    pub fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let read = self.read(key, "true or false", |value| match value {
            Value::Boolean(boolean) => Ok(*boolean),
            _ => Err(None),
        });
        self.or_default(key, read, default)
    }

    /// A whole number between 1 and `max`.
    pub fn count(&mut self, key: &'static str, max: u64) -> Option<u64> {
        self.read(key, "a whole number", move |value| match value {
            Value::Integer(integer) => match u64::try_from(*integer) {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(Some(format!("must be between 1 and {max}"))),
            },
            _ => Err(None),
        })
    }

    pub fn number(&mut self, key: &'static str, min: f64, max: f64) -> Option<f64> {
        self.read(key, "a number", move |value| {
            let number = match value {
                Value::Float(float) => *float,
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "checked against a small range below"
                )]
                Value::Integer(integer) => *integer as f64,
                _ => return Err(None),
            };
            if (min..=max).contains(&number) {
                Ok(number)
            } else {
                Err(Some(format!("must be between {min} and {max}")))
            }
        })
    }

    /// A decimal number, converted from its text, so that it is exact.
    pub fn decimal<T: Copy>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        convert: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.read(key, expected, |value| {
            let text = match value {
                Value::Float(float) => float.to_string(),
                Value::Integer(integer) => integer.to_string(),
                _ => return Err(None),
            };
            convert(&text)
                .map(|_| text.clone())
                .ok_or_else(|| Some(format!("'{text}' is not {expected}")))
        });
        text.and_then(|text| convert(&text))
    }

    /// A table whose members are not lintel's, as JSON.
    pub fn json(&mut self, key: &'static str) -> Option<serde_json::Value> {
        self.read(key, "a table", |value| match value {
            Value::Table(_) => Ok(serde_json::Value::from(value.clone())),
            _ => Err(None),
        })
    }

    /// A string that `T` can be parsed from.
    pub fn parsed<T: FromStr<Err: Display> + Display>(
        &mut self,
        key: &'static str,
        expected: &'static str,
    ) -> Option<T> {
        self.read(key, expected, |value| match value {
            Value::String(text) => text
                .parse::<T>()
                .map_err(|error| Some(format!("'{text}' is not {expected}: {error}"))),
            _ => Err(None),
        })
    }

    /// One of the words in `choices`.
    pub fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        default: T,
    ) -> T {
        let words = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(" or ");
        let word = self.read(key, "a string", |value| match value {
            Value::String(text) if choices.iter().any(|(word, _)| word == text) => Ok(text.clone()),
            Value::String(text) => Err(Some(format!("'{text}' is not {words}"))),
            _ => Err(None),
        });
        let chosen = word.and_then(|word| {
            choices
                .iter()
                .find(|(other, _)| *other == word)
                .map(|(_, choice)| *choice)
        });
        if chosen.is_none()
            && let Some((word, _)) = choices.iter().find(|(_, choice)| *choice == default)
        {
            self.diagnostics
                .resolved(self.path_of(key), word, Origin::Default);
        }
        chosen.unwrap_or(default)
    }
}
