//! Payloads of the events of ConverseStream; the frame's `:event-type` header says which one it is.
//!
//! Text borrows from the frame where it holds no escape.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentBlockStart<'a> {
    #[serde(default)]
    pub content_block_index: u32,
    #[serde(borrow, default)]
    pub start: Start<'a>,
}

/// `{}` for a text block.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Start<'a> {
    #[serde(borrow)]
    pub tool_use: Option<ToolUseStart<'a>>,
    #[serde(borrow)]
    pub image: Option<ImageStart<'a>>,
    pub tool_result: Option<ToolResultStart>,
}

/// The result of a tool that AWS runs itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToolResultStart {
    pub tool_use_id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct ImageStart<'a> {
    #[serde(borrow)]
    pub format: Cow<'a, str>,
}

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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentBlockDelta<'a> {
    #[serde(default)]
    pub content_block_index: u32,
    #[serde(borrow)]
    pub delta: Delta<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delta<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub tool_use: Option<ToolUseDelta<'a>>,
    #[serde(borrow)]
    pub reasoning_content: Option<ReasoningDelta<'a>>,
    /// Kept as the service wrote it; see [`super::reply::Citation`].
    #[serde(borrow)]
    pub citation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub image: Option<ImageDelta<'a>>,
    /// Of a tool that AWS runs itself: texts and JSON, opaque.
    pub tool_result: Option<Vec<Value>>,
}

impl Delta<'_> {
    /// None of its members is known.
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageDelta<'a> {
    #[serde(borrow)]
    pub source: ImageDeltaSource<'a>,
    pub error: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageDeltaSource<'a> {
    /// Base64.
    #[serde(borrow)]
    pub bytes: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub struct ToolUseDelta<'a> {
    #[serde(borrow)]
    pub input: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReasoningDelta<'a> {
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub signature: Option<Cow<'a, str>>,
    /// Base64 of this piece alone.
    #[serde(borrow)]
    pub redacted_content: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentBlockStop {
    #[serde(default)]
    pub content_block_index: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageStop<'a> {
    #[serde(borrow)]
    pub stop_reason: Cow<'a, str>,
    #[serde(default)]
    pub additional_model_response_fields: Option<Value>,
}
