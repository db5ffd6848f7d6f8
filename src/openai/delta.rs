//! The `delta` of one chunk of a streamed chat completion.

use serde::Serialize;
use serde_json::Value;

use super::completion::{Annotation, CustomCall, Image, Indexed, ReasoningDetail, ThinkingBlock};

/// A `delta` object; each variant is one set of members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta<'a> {
    Content(&'a str),
    ReasoningContent(&'a str),
    ServerToolBlocks([Indexed<&'a Value>; 1]),
    StopSequence(&'a str),
    Annotations(Vec<Indexed<&'a Annotation>>),
    Images([Indexed<&'a Image>; 1]),
    ToolCalls([ToolCallDelta<'a>; 1]),
    FunctionCall(FunctionDelta<'a>),
    #[serde(untagged)]
    Thinking {
        thinking_blocks: [Indexed<&'a ThinkingBlock>; 1],
        reasoning_details: [Indexed<ReasoningDetail>; 1],
    },
    #[serde(untagged)]
    CitedContent {
        content: &'a str,
        annotations: Vec<Indexed<&'a Annotation>>,
    },
}

/// A part of a tool call. The first part contains the ID, the type and the name; later parts contain only arguments.
#[derive(Debug, Serialize)]
pub struct ToolCallDelta<'a> {
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionDelta<'a>>,
    /// The whole call of a custom tool, because OpenAI's API has no format for parts of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<&'a CustomCall>,
}

/// A part of a function call.
#[derive(Debug, Serialize)]
pub struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    pub arguments: &'a str,
}
