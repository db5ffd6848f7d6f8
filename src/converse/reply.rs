//! The reply of Converse. Every member is optional where leaving it out can be survived.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseReply {
    pub output: Output,
    /// An open enum: unknown values are kept.
    pub stop_reason: String,
    #[serde(default)]
    pub usage: Option<TokenUsage>,
}

#[derive(Debug, Deserialize)]
pub struct Output {
    pub message: Message,
}

#[derive(Debug, Deserialize)]
pub struct Message {
    #[serde(default)]
    pub content: Vec<ContentBlock>,
}

/// A union on the wire; recorded replies carry stray members beside the known one, so it is a struct here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentBlock {
    pub text: Option<String>,
    pub tool_use: Option<ToolUseBlock>,
    pub reasoning_content: Option<ReasoningContentBlock>,
    pub citations_content: Option<CitationsContentBlock>,
    pub tool_result: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseBlock {
    pub tool_use_id: String,
    pub name: String,
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
    /// `server_tool_use` is a call that AWS itself answers.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReasoningContentBlock {
    pub reasoning_text: Option<ReasoningText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReasoningText {
    pub text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationsContentBlock {
    pub content: Vec<GeneratedContent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GeneratedContent {
    pub text: String,
}

/// Tokens. The names ending in `Count` are outside the service model, and sometimes the only ones (recorded Nova).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenUsage {
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_read_input_tokens: Option<i64>,
    pub cache_write_input_tokens: Option<i64>,
    pub cache_read_input_token_count: Option<i64>,
    pub cache_write_input_token_count: Option<i64>,
}

/// The body of an error; services write either spelling.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorReply {
    #[serde(alias = "Message")]
    pub message: Option<String>,
    #[serde(rename = "__type", alias = "code")]
    pub kind: Option<String>,
    #[serde(rename = "originalStatusCode")]
    pub original_status_code: Option<u16>,
    #[serde(rename = "originalMessage")]
    pub original_message: Option<String>,
}
