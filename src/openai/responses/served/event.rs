//! The events of a stream.

use serde::Serialize;

use super::{Annotation, OutputItem, OutputPart, ResponseObject, SummaryPart};

/// The members of an event after `type` and `sequence_number`. The type determines which are set.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EventBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<&'a str>,
    /// The position of the item in the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<&'a str>,
    /// Always empty, but required in events about text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<[(); 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<&'a Annotation>,
    #[serde(rename = "part", skip_serializing_if = "Option::is_none")]
    pub content_part: Option<&'a OutputPart>,
    #[serde(rename = "part", skip_serializing_if = "Option::is_none")]
    pub summary_part: Option<&'a SummaryPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<&'a OutputItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<&'a ResponseObject<'a>>,
}

/// The members of the event `error`. OpenAI's SDKs raise because of the nested object; other clients read the members
/// beside it.
#[derive(Debug, Serialize)]
pub struct StreamError<'a> {
    pub code: &'a str,
    pub message: &'a str,
    pub param: Option<&'a str>,
    pub error: StreamErrorBody<'a>,
}

/// The nested object of the event `error`.
#[derive(Debug, Serialize)]
pub struct StreamErrorBody<'a> {
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub code: &'a str,
    pub message: &'a str,
    pub param: Option<&'a str>,
}
