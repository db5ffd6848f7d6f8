//! Payloads of ConverseStream events. The `:event-type` header of the frame selects the type.
//!
//! Strings without escapes borrow from the frame.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

/// `contentBlockStart`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentBlockStart<'a> {
    #[serde(default)]
    pub content_block_index: u32,
    #[serde(borrow, default)]
    pub start: Start<'a>,
}

/// The `start` member of [`ContentBlockStart`]; empty for a text block.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Start<'a> {
    #[serde(borrow)]
    pub tool_use: Option<ToolUseStart<'a>>,
    #[serde(borrow)]
    pub image: Option<ImageStart<'a>>,
    pub tool_result: Option<ToolResultStart>,
}

/// The start of a result of a tool that AWS runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToolResultStart {
    pub tool_use_id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<String>,
}

/// The start of an image block.
#[derive(Debug, Deserialize)]
pub struct ImageStart<'a> {
    #[serde(borrow)]
    pub format: Cow<'a, str>,
}

/// The start of a tool call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseStart<'a> {
    #[serde(borrow)]
    pub tool_use_id: Cow<'a, str>,
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
}

/// `contentBlockDelta`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentBlockDelta<'a> {
    #[serde(default)]
    pub content_block_index: u32,
    #[serde(borrow)]
    pub delta: Delta<'a>,
}

/// The `delta` member of [`ContentBlockDelta`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delta<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_use: Option<ToolUseDelta<'a>>,
    #[serde(borrow)]
    pub reasoning_content: Option<ReasoningDelta<'a>>,
    /// Raw JSON of a [`super::reply::Citation`], because its unknown members go to the client too.
    #[serde(borrow)]
    pub citation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub image: Option<ImageDelta<'a>>,
    /// Content of a tool result that AWS produced, passed through as it is.
    pub tool_result: Option<Vec<Value>>,
}

impl Delta<'_> {
    /// Returns whether the delta has no member that lintel knows.
    pub fn is_unknown(&self) -> bool {
        let Self {
            text,
            tool_use,
            reasoning_content,
            citation,
            image,
            tool_result,
        } = self;
        text.is_none()
            && tool_use.is_none()
            && reasoning_content.is_none()
            && citation.is_none()
            && image.is_none()
            && tool_result.is_none()
    }
}

/// A piece of an image, or the error that replaces it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageDelta<'a> {
    #[serde(borrow)]
    pub source: ImageDeltaSource<'a>,
    pub error: Option<IgnoredAny>,
}

/// The data of an [`ImageDelta`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageDeltaSource<'a> {
    /// Base64.
    #[serde(borrow)]
    pub bytes: Option<Cow<'a, str>>,
}

/// A piece of the arguments of a tool call.
#[derive(Debug, Deserialize)]
pub struct ToolUseDelta<'a> {
    /// A fragment of JSON text.
    #[serde(borrow)]
    pub input: Cow<'a, str>,
}

/// A piece of reasoning.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReasoningDelta<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub signature: Option<Cow<'a, str>>,
    /// Base64. Each piece is encoded separately.
    #[serde(borrow)]
    pub redacted_content: Option<Cow<'a, str>>,
}

/// `contentBlockStop`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentBlockStop {
    #[serde(default)]
    pub content_block_index: u32,
}

/// `messageStop`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageStop<'a> {
    #[serde(borrow)]
    pub stop_reason: Cow<'a, str>,
    #[serde(default)]
    pub additional_model_response_fields: Option<Value>,
}
