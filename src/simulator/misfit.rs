//! Answers in JSON that do not fit what was asked for.

use serde_json::Value;

/// How an answer misses its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A sentence before the JSON.
    Prose,
    /// A number where the schema has another type, in the first member.
    Type,
    /// The first member is missing.
    Missing,
    /// The last brace is missing.
    Cut,
    /// No JSON at all.
    Refusal,
}

impl Misfit {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "prose" => Self::Prose,
            "type" => Self::Type,
            "missing" => Self::Missing,
            "cut" => Self::Cut,
            "refusal" => Self::Refusal,
            _ => return None,
        })
    }

    /// Spoils `json`, which is the text of an object.
    pub fn spoil(self, json: &str) -> String {
        let mut value: Value = serde_json::from_str(json).unwrap_or_default();
        let first = value
            .as_object()
            .and_then(|members| members.keys().next().cloned())
            .unwrap_or_default();
        match self {
            Self::Prose => format!("Here it is: {json}"),
            Self::Type => {
                value[first] = 1.5.into();
                value.to_string()
            }
            Self::Missing => {
                if let Some(members) = value.as_object_mut() {
                    members.shift_remove(&first);
                }
                value.to_string()
            }
            Self::Cut => json.trim_end_matches('}').to_owned(),
            Self::Refusal => "I would rather not.".to_owned(),
        }
    }
}
