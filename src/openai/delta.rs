//! The `delta` of one chunk of a streamed chat completion.

use serde::Serialize;
use serde_json::Value;

use super::completion::{Annotation, CustomCall, Image, ThinkingBlock};

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta<'a> {
    Content(&'a str),
    ReasoningContent(&'a str),
    ThinkingBlocks([&'a ThinkingBlock; 1]),
    ServerToolBlocks([&'a Value; 1]),
    StopSequence(&'a str),
    Annotations(&'a [Annotation]),
    Images([&'a Image; 1]),
    ToolCalls([ToolCallDelta<'a>; 1]),
    FunctionCall(FunctionDelta<'a>),
    #[serde(untagged)]
    CitedContent {
        content: &'a str,
        annotations: &'a [Annotation],
    },
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
