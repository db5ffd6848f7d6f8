//! The `delta` of one chunk of a streamed chat completion.

use serde::Serialize;
use serde_json::Value;

use super::completion::{Annotation, CustomCall, Image, ReasoningDetail, ThinkingBlock};

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

/// An entry of a list that comes in pieces. OpenAI's SDKs put such lists together by `index`, and fail without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Indexed<T> {
    /// Its place in the whole list.
    pub index: u32,
    #[serde(flatten)]
    pub entry: T,
}

/// The first delta of a call has id, type and name; later ones only arguments.
#[derive(Debug, Serialize)]
pub struct ToolCallDelta<'a> {
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionDelta<'a>>,
    /// All of a custom call: OpenAI's chunks have no form for its pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<&'a CustomCall>,
}

#[derive(Debug, Serialize)]
pub struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    pub arguments: &'a str,
}
