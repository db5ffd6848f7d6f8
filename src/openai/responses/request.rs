//! The request.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::InputItem;

/// The value of `include` that makes reasoning items carry what a later request needs to continue from them.
pub const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";

/// The body of a request.
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    pub model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    pub input: Vec<InputItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
    /// The service stores the reply unless this is false.
    pub store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Additional members.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// A tool that the model can call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Tool<'a> {
    Function(FunctionTool<'a>),
    Custom(CustomTool<'a>),
    Namespace(NamespaceTool<'a>),
}

/// Tools that have something in common.
#[derive(Debug, Serialize)]
pub struct NamespaceTool<'a> {
    /// `namespace`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: &'a str,
    pub description: &'a str,
    pub tools: Vec<Tool<'a>>,
}

/// A tool whose input is text.
#[derive(Debug, Serialize)]
pub struct CustomTool<'a> {
    /// `custom`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: Cow<'a, str>,
    pub description: Cow<'a, str>,
    /// `text` or a grammar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Cow<'a, RawValue>>,
}

/// A function that the model can call.
#[derive(Debug, Serialize)]
pub struct FunctionTool<'a> {
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: Cow<'a, str>,
    pub description: Cow<'a, str>,
    pub parameters: Cow<'a, RawValue>,
    /// If absent, it is true.
    pub strict: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ToolChoice<'a> {
    /// `auto`, `required` or `none`.
    Mode(&'static str),
    Function {
        #[serde(rename = "type")]
        kind: &'static str,
        name: Cow<'a, str>,
    },
}

/// Options of the text of the answer.
#[derive(Debug, Serialize)]
pub struct TextConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<TextFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<&'a str>,
}

/// A JSON schema for the answer.
#[derive(Debug, Serialize)]
pub struct TextFormat<'a> {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    pub schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

#[derive(Debug, Serialize)]
pub struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'a str>,
    /// `auto`; without it, replies do not contain a summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'static str>,
}
