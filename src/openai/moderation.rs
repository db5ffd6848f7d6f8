//! `POST /v1/moderations`, <https://platform.openai.com/docs/api-reference/moderations>.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::value::RawValue;

use super::capped::Items;

/// Maximum number of inputs of one request, and of parts of one input.
pub const MAX_INPUTS: usize = 128;

/// OpenAI's categories, in the order of its replies.
pub const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// The request. `None` means absent or null.
#[derive(Debug, Deserialize)]
pub struct ModerationRequest {
    pub input: ModerationInput,
    #[serde(default)]
    pub model: Option<String>,
    /// An extension: the end user of the application.
    #[serde(default)]
    pub user: Option<String>,
    /// An extension: the maximum cost of the call, in US dollars.
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

/// A text, a list of texts, or a list of the parts of one input.
#[derive(Debug)]
pub enum ModerationInput {
    Text(String),
    List(Vec<ModerationItem>),
}

impl<'de> Deserialize<'de> for ModerationInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = ModerationInput;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings or a list of content parts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(ModerationInput::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let items = SeqAccessDeserializer::new(seq);
                Items::<_, MAX_INPUTS>::deserialize(items)
                    .map(|Items(items)| ModerationInput::List(items))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// An item of the list `input`.
#[derive(Debug)]
pub enum ModerationItem {
    Text(String),
    Part(ModerationPart),
}

// Written by hand, because an untagged enum accepts a list in the place of an object.
impl<'de> Deserialize<'de> for ModerationItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ModerationItem;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a content part")
            }
            fn visit_str<E>(self, text: &str) -> Result<ModerationItem, E> {
                Ok(ModerationItem::Text(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModerationItem, A::Error> {
                let part = ModerationPart::deserialize(MapAccessDeserializer::new(map));
                part.map(ModerationItem::Part)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A part of an input.
#[derive(Debug, Deserialize)]
pub struct ModerationPart {
    /// `text` or `image_url`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub image_url: Option<ModerationImage>,
}

/// An image.
#[derive(Debug, Deserialize)]
pub struct ModerationImage {
    pub url: String,
}

/// The reply.
#[derive(Debug, Serialize)]
pub struct Moderation<'a> {
    pub id: String,
    pub model: &'a str,
    pub results: Vec<ModerationResult>,
    pub usage: ModerationUsage,
}

/// The verdict on one input.
#[derive(Debug, Serialize)]
pub struct ModerationResult {
    pub flagged: bool,
    pub categories: ByCategory<bool>,
    pub category_scores: ByCategory<f64>,
    /// The kinds of input that each category was evaluated for.
    pub category_applied_input_types: ByCategory<Vec<&'static str>>,
}

/// A value for each of [`CATEGORIES`].
#[derive(Debug)]
pub struct ByCategory<T>(pub [T; CATEGORIES.len()]);

impl<T: Serialize> Serialize for ByCategory<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(CATEGORIES.iter().zip(&self.0))
    }
}

/// An extension: the cost of the call.
#[derive(Debug, Serialize)]
pub struct ModerationUsage {
    /// In US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_no_content_part() {
        let parse = serde_json::from_str::<ModerationRequest>;
        assert!(parse(r#"{"input": ["a", {"type": "text", "text": "b"}]}"#).is_ok());
        assert!(parse(r#"{"input": [["text", "a"]]}"#).is_err());
    }
}
