//! The messages of a request, and their content blocks.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::request::{OutputConfig, Tool};
use crate::openai::{capped, message::CacheControl, object::Object};

/// Maximum number of content blocks of a message.
const MAX_BLOCKS: usize = 10_000;

/// The role of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
    System,
}

impl Role {
    /// Returns the role as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }
}

/// A message.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: Content,
    /// The effort from here on, in a message of the role `system`.
    #[serde(default)]
    pub output_config: Option<OutputConfig>,
    /// Always absent in what the gateway sends on, because it removes no messages.
    #[serde(default)]
    pub clear_at: Option<Box<RawValue>>,
}

/// `content` or `system`: a string, or a list of blocks.
#[derive(Clone, Debug)]
pub enum Content {
    Text(String),
    Blocks(Vec<Block>),
    /// An object, such as the error of a tool that Anthropic runs.
    Object,
}

// Written by hand, because an untagged enum buffers its input, which loses raw JSON and the paths of errors.
impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of content blocks")
            }
            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, blocks: A) -> Result<Content, A::Error> {
                let blocks: Vec<Object<Block>> = capped::items(blocks, MAX_BLOCKS)?;
                let blocks = blocks.into_iter().map(|Object(block)| block);
                Ok(Content::Blocks(blocks.collect()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
                IgnoredAny::deserialize(MapAccessDeserializer::new(map)).map(|_| Content::Object)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A content block; `kind` determines which of the other members are set. Large members are boxed, because most blocks have
/// only `text`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Block {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub cache_control: Option<Box<CacheControl>>,
    /// For `image`, `document` and `search_result`.
    #[serde(default)]
    pub source: Option<Box<Source>>,
    /// For `document` and `search_result`.
    #[serde(default)]
    pub title: Option<Box<str>>,
    /// For `document`: context about it, for the model.
    #[serde(default)]
    pub context: Option<Box<str>>,
    /// Whether the answer cites the block; for `text`, the citations of an earlier answer.
    #[serde(default)]
    pub citations: Option<Box<RawValue>>,
    /// For `thinking`, with `signature`.
    #[serde(default)]
    pub thinking: Option<Box<str>>,
    #[serde(default)]
    pub signature: Option<Box<str>>,
    /// For `redacted_thinking`, in Base64.
    #[serde(default)]
    pub data: Option<Box<str>>,
    /// For `tool_use`, with `name` and `input`.
    #[serde(default)]
    pub id: Option<Box<str>>,
    #[serde(default)]
    pub name: Option<Box<str>>,
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
    /// Who called the tool; ignored, but clients send it back.
    #[serde(default)]
    pub caller: Option<Box<RawValue>>,
    /// For `tool_result`, with `content` and `is_error`.
    #[serde(default)]
    pub tool_use_id: Option<Box<str>>,
    #[serde(default)]
    pub content: Option<Content>,
    #[serde(default)]
    pub is_error: Option<bool>,
    /// For `tool_reference`.
    #[serde(default)]
    pub tool_name: Option<Box<str>>,
    /// For `tool_addition` and `tool_removal`.
    #[serde(default)]
    pub tool: Option<Box<ToolChange>>,
}

/// The tool that a message adds or removes.
#[derive(Clone, Debug, Deserialize)]
pub struct ToolChange {
    /// `tool_reference`, `tool_definition`, or a reference to a tool of an MCP server.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// For `tool_reference`.
    #[serde(default)]
    pub name: Option<String>,
    /// For `tool_definition`.
    #[serde(default)]
    pub definition: Option<Tool>,
}

/// `source`: an object with the data of an image or document, or the address of a search result.
#[derive(Clone, Debug)]
pub enum Source {
    Address(String),
    Data(SourceData),
}

/// The data of an image or document; `kind` determines which of the other members are set.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SourceData {
    /// `base64`, `url`, `text`, `content` or `file`.
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub media_type: Option<String>,
    #[serde(default)]
    pub data: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub file_id: Option<String>,
    #[serde(default)]
    pub content: Option<Content>,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Source;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an object")
            }
            fn visit_str<E>(self, address: &str) -> Result<Source, E> {
                Ok(Source::Address(address.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                SourceData::deserialize(MapAccessDeserializer::new(map)).map(Source::Data)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
