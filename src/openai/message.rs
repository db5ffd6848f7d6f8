//! The messages of a chat request, and their content parts.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    capped,
    chat::MAX_TOOLS,
    object::{self, Object},
};

/// Maximum number of content parts of a message.
const MAX_PARTS: usize = 10_000;

/// Maximum number of entries in each form of reasoning. High, because clients that collect a stream may keep one entry per
/// delta.
const MAX_REASONING: usize = 100_000;

/// Maximum number of content blocks in the result of a tool that AWS runs.
const MAX_RESULT_BLOCKS: usize = 1_000;

/// The role of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    Developer,
    #[default]
    User,
    Assistant,
    Tool,
    Function,
}

impl Role {
    /// Returns the role as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }
}

/// A message of any role. Whether the role allows its members is checked after parsing.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Message {
    pub role: Role,
    #[serde(default)]
    pub content: Option<Content>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub refusal: Option<String>,
    #[serde(default, deserialize_with = "object::optional_list::<_, _, MAX_TOOLS>")]
    pub tool_calls: Option<Vec<ToolCall>>,
    #[serde(default)]
    pub tool_call_id: Option<String>,
    #[serde(default)]
    pub function_call: Option<FunctionCall>,
    #[serde(default)]
    pub audio: Option<Box<RawValue>>,
    /// This and the following members are part of replies of lintel or other servers, and clients send them back with the
    /// history.
    #[serde(default)]
    pub annotations: Option<Box<RawValue>>,
    #[serde(default)]
    pub images: Option<Box<RawValue>>,
    #[serde(default)]
    pub reasoning_content: Option<String>,
    #[serde(default)]
    pub reasoning_signature: Option<String>,
    #[serde(
        default,
        deserialize_with = "object::optional_list::<_, _, MAX_REASONING>"
    )]
    pub thinking_blocks: Option<Vec<ThinkingBlock>>,
    /// Reasoning in OpenRouter's format.
    #[serde(
        default,
        deserialize_with = "object::optional_list::<_, _, MAX_REASONING>"
    )]
    pub reasoning_details: Option<Vec<ReasoningDetail>>,
    /// Calls and results of tools that AWS runs, from an earlier answer.
    #[serde(default, deserialize_with = "object::optional_list::<_, _, MAX_TOOLS>")]
    pub server_tool_blocks: Option<Vec<ServerToolBlock>>,
    #[serde(default)]
    pub stop_sequence: Option<Box<RawValue>>,
    /// Anthropic's cache point: the prompt is cached up to here.
    #[serde(default)]
    pub cache_control: Option<CacheControl>,
}

/// A content block of Converse; either `tool_use` or `tool_result` is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerToolBlock {
    #[serde(default)]
    pub tool_use: Option<ServerToolUse>,
    #[serde(default)]
    pub tool_result: Option<ServerToolResult>,
    /// The position in a streamed list; ignored, but clients send it back.
    #[serde(default)]
    pub index: Option<Box<RawValue>>,
}

/// A call of a tool that AWS runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerToolUse {
    pub tool_use_id: String,
    pub name: String,
    pub input: Box<RawValue>,
    /// Always `server_tool_use`; ignored, but clients send it back.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
}

/// The result of a tool that AWS runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerToolResult {
    pub tool_use_id: String,
    #[serde(deserialize_with = "capped::list::<_, _, MAX_RESULT_BLOCKS>")]
    pub content: Vec<ServerToolContent>,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
}

/// A content block of a result; either `text` or `json` is set.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerToolContent {
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub json: Option<Box<RawValue>>,
}

/// Reasoning that the model signed or encrypted, in the format of LiteLLM.
#[derive(Clone, Debug, Deserialize)]
pub struct ThinkingBlock {
    /// `thinking` or `redacted_thinking`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub thinking: String,
    #[serde(default)]
    pub signature: Option<String>,
    /// Base64.
    #[serde(default)]
    pub data: Option<String>,
    /// The position in a streamed list; ignored, but clients send it back.
    #[serde(default)]
    pub index: Option<Box<RawValue>>,
}

/// An entry of `reasoning_details`, <https://openrouter.ai/docs/use-cases/reasoning-tokens>.
#[derive(Clone, Debug, Deserialize)]
pub struct ReasoningDetail {
    /// `reasoning.text`, `reasoning.encrypted` or `reasoning.summary`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub summary: Option<String>,
    #[serde(default)]
    pub signature: Option<String>,
    #[serde(default)]
    pub data: Option<String>,
    #[serde(default)]
    pub id: Option<Box<RawValue>>,
    #[serde(default)]
    pub format: Option<String>,
    #[serde(default)]
    pub index: Option<Box<RawValue>>,
}

/// A cache point in Anthropic's format.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CacheControl {
    /// `5m` or `1h`.
    #[serde(default)]
    pub ttl: Option<String>,
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
}

/// `content`: a string, or a list of parts.
#[derive(Clone, Debug)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

// Written by hand, because an untagged enum buffers its input, which loses raw JSON and the paths of errors.
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
                let parts: Vec<Object<Part>> = capped::items(parts, MAX_PARTS)?;
                let parts = parts.into_iter().map(|Object(part)| part);
                Ok(Content::Parts(parts.collect()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A content part; `kind` determines which of the other members are set. Large members are boxed, because most parts have
/// only `text`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Part {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub refusal: Option<Box<str>>,
    #[serde(default)]
    pub image_url: Option<Box<MediaUrl>>,
    #[serde(default)]
    pub video_url: Option<Box<MediaUrl>>,
    #[serde(default)]
    pub input_audio: Option<Box<InputAudio>>,
    #[serde(default)]
    pub file: Option<Box<File>>,
    #[serde(default)]
    pub search_result: Option<Box<SearchResult>>,
    /// Anthropic's cache point: the prompt is cached up to here.
    #[serde(default)]
    pub cache_control: Option<Box<CacheControl>>,
    /// OpenAI's equivalent of `cache_control`.
    #[serde(default)]
    pub prompt_cache_breakpoint: Option<Box<RawValue>>,
    /// Converse's equivalent, a separate part.
    #[serde(rename = "cachePoint", default)]
    pub cache_point: Option<Box<CacheControl>>,
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
    /// For `tool_result`, with `content` and `is_error`.
    #[serde(default)]
    pub tool_use_id: Option<Box<str>>,
    #[serde(default)]
    pub content: Option<Content>,
    #[serde(default)]
    pub is_error: Option<bool>,
    /// The position in a streamed list; ignored, but clients send it back.
    #[serde(default)]
    pub index: Option<Box<RawValue>>,
}

/// A data URL, or a URL that the gateway fetches or passes on.
#[derive(Clone, Debug, Deserialize)]
pub struct MediaUrl {
    pub url: String,
    #[serde(default)]
    pub detail: Option<String>,
    /// The AWS account ID (12 digits) that owns the bucket of an `s3://` URL.
    #[serde(default)]
    pub bucket_owner: Option<String>,
}

/// Audio in a user message.
#[derive(Clone, Debug, Deserialize)]
pub struct InputAudio {
    /// Base64.
    pub data: String,
    pub format: String,
}

/// A document in a user message.
#[derive(Clone, Debug, Deserialize)]
pub struct File {
    /// A data URL, or Base64 without the URL.
    #[serde(default)]
    pub file_data: Option<String>,
    #[serde(default)]
    pub file_id: Option<String>,
    #[serde(default)]
    pub filename: Option<String>,
    /// An extension: context about the document, for the model.
    #[serde(default)]
    pub context: Option<String>,
    /// An extension: whether the answer cites the document.
    #[serde(default)]
    pub citations: Option<Citations>,
}

/// An extension: a passage for the model to cite.
#[derive(Clone, Debug, Deserialize)]
pub struct SearchResult {
    pub source: String,
    pub title: String,
    pub content: Content,
    #[serde(default)]
    pub citations: Option<Citations>,
}

/// Whether the model cites a document or passage.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Citations {
    pub enabled: bool,
}

/// A tool call in an assistant message; either `function` or `custom` is set.
#[derive(Clone, Debug, Deserialize)]
pub struct ToolCall {
    pub id: String,
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub function: Option<FunctionCall>,
    #[serde(default)]
    pub custom: Option<CustomCall>,
    /// The position in a streamed list; ignored, but clients send it back.
    #[serde(default)]
    pub index: Option<Box<RawValue>>,
    /// The place of the call's cache point in LiteLLM's format.
    #[serde(default)]
    pub cache_control: Option<CacheControl>,
}

/// A call of a custom tool.
#[derive(Clone, Debug, Deserialize)]
pub struct CustomCall {
    pub name: String,
    #[serde(default)]
    pub input: String,
}

/// A call of a function.
#[derive(Clone, Debug, Deserialize)]
pub struct FunctionCall {
    pub name: String,
    /// JSON text, as the model generated it; may be invalid.
    #[serde(default)]
    pub arguments: String,
}
