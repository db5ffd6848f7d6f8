//! The items of the input. Members that have no effect, such as `id` and `status`, are not read.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{ReasoningOptions, TextOptions, request::MAX_TOOLS};
use crate::openai::{capped, message::InputAudio, object::Object};

/// Maximum number of content parts of an item.
const MAX_PARTS: usize = 10_000;

/// `file_search_call`.
#[derive(Debug, Deserialize)]
pub struct FileSearch {
    /// Null unless the client asked for them.
    #[serde(default)]
    pub results: Option<Vec<IgnoredAny>>,
}

/// The type of an item or a tool.
#[derive(Debug, Deserialize)]
pub struct Kind<'a> {
    #[serde(rename = "type", borrow, default)]
    pub kind: Option<Cow<'a, str>>,
}

/// `message`, or an item without a type.
#[derive(Debug, Deserialize)]
pub struct MessageItem {
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub content: Option<Content>,
}

/// A string, or a list of parts.
#[derive(Debug)]
pub enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of content parts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                let parts: Vec<Object<ContentPart>> = capped::items(parts, MAX_PARTS)?;
                Ok(Content::Parts(
                    parts.into_iter().map(|Object(part)| part).collect(),
                ))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A content part; `kind` determines which of the other members are set.
#[derive(Debug, Default, Deserialize)]
pub struct ContentPart {
    #[serde(rename = "type", default)]
    pub kind: String,
    /// For `input_text`, `output_text` and the like.
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub refusal: Option<String>,
    /// For `input_image`, with `detail`.
    #[serde(default)]
    pub image_url: Option<String>,
    #[serde(default)]
    pub detail: Option<String>,
    /// For `input_file`, like the three members after it; `file_id` also for `input_image`.
    #[serde(default)]
    pub file_id: Option<String>,
    #[serde(default)]
    pub file_data: Option<String>,
    #[serde(default)]
    pub file_url: Option<String>,
    #[serde(default)]
    pub filename: Option<String>,
    #[serde(default)]
    pub input_audio: Option<InputAudio>,
}

/// `reasoning`. Its summary is the model's text for people, which is never sent back to the model.
#[derive(Debug, Deserialize)]
pub struct ReasoningItem {
    #[serde(default)]
    pub encrypted_content: Option<String>,
}

/// `function_call`.
#[derive(Debug, Deserialize)]
pub struct FunctionCall {
    pub call_id: String,
    pub name: String,
    #[serde(default)]
    pub namespace: Option<String>,
    /// JSON text as the model wrote it, which is not always valid.
    #[serde(default)]
    pub arguments: Option<String>,
}

/// `custom_tool_call`.
#[derive(Debug, Deserialize)]
pub struct CustomCall {
    pub call_id: String,
    pub name: String,
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub input: Option<String>,
}

/// `function_call_output` and `custom_tool_call_output`.
#[derive(Debug, Deserialize)]
pub struct CallOutput {
    pub call_id: String,
    #[serde(default)]
    pub output: Option<Content>,
}

/// `tool_search_call`.
#[derive(Debug, Deserialize)]
pub struct SearchCall {
    /// Null if the service ran the search.
    #[serde(default)]
    pub call_id: Option<String>,
    /// An object.
    #[serde(default)]
    pub arguments: Option<Box<RawValue>>,
}

/// `additional_tools` and `tool_search_output`.
#[derive(Debug, Deserialize)]
pub struct ToolList {
    #[serde(default)]
    pub call_id: Option<String>,
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_TOOLS>")]
    pub tools: Option<Vec<Box<RawValue>>>,
}

/// `configuration_update`.
#[derive(Debug, Deserialize)]
pub struct ConfigurationUpdate {
    #[serde(default)]
    pub reasoning: Option<ReasoningOptions>,
    #[serde(default)]
    pub text: Option<TextOptions>,
}

/// `compaction`: the sealed summary of what came before.
#[derive(Debug, Deserialize)]
pub struct Compaction {
    #[serde(default)]
    pub encrypted_content: Option<String>,
}

/// `item_reference`.
#[derive(Debug, Deserialize)]
pub struct ItemReference {
    pub id: String,
}
