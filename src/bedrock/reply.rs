//! The reply of Converse. Every member is optional where leaving it out can be survived.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseReply {
    pub output: Output,
    /// An open enum: unknown values are kept.
    pub stop_reason: String,
    #[serde(default)]
    pub usage: Option<TokenUsage>,
    #[serde(default)]
    pub trace: Option<Trace>,
    #[serde(default)]
    pub service_tier: Option<ServiceTier>,
    #[serde(default)]
    pub performance_config: Option<PerformanceConfig>,
    #[serde(default)]
    pub additional_model_response_fields: Option<Value>,
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
    pub image: Option<ImageBlock>,
    pub tool_result: Option<ToolResultBlock>,
    pub document: Option<IgnoredAny>,
    pub audio: Option<IgnoredAny>,
    pub video: Option<IgnoredAny>,
}

impl ContentBlock {
    /// None of its members is known.
    pub fn is_unknown(&self) -> bool {
        let Self {
            text,
            tool_use,
            reasoning_content,
            citations_content,
            image,
            tool_result,
            document,
            audio,
            video,
        } = self;
        let others = [document, audio, video];
        text.is_none()
            && tool_use.is_none()
            && reasoning_content.is_none()
            && citations_content.is_none()
            && image.is_none()
            && tool_result.is_none()
            && others.iter().all(|member| member.is_none())
    }
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

/// The result of a tool that AWS runs itself; its content is opaque.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToolResultBlock {
    pub tool_use_id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<String>,
    pub content: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReasoningContentBlock {
    pub reasoning_text: Option<ReasoningText>,
    /// Base64.
    pub redacted_content: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReasoningText {
    pub text: String,
    pub signature: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationsContentBlock {
    pub content: Vec<GeneratedContent>,
    /// Kept as the service wrote them; see [`Citation`].
    pub citations: Vec<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GeneratedContent {
    pub text: String,
}

/// What clients learn of a citation; the rest of it goes through as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Citation {
    pub title: Option<String>,
    pub source: Option<String>,
    pub location: Option<CitationLocation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CitationLocation {
    pub web: Option<WebLocation>,
    pub document_char: Option<DocumentLocation>,
    pub document_page: Option<DocumentLocation>,
    pub document_chunk: Option<DocumentLocation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct WebLocation {
    pub url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DocumentLocation {
    pub document_index: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageBlock {
    pub format: String,
    pub source: ImageSource,
    pub error: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageSource {
    /// Base64.
    pub bytes: Option<String>,
}

/// The last event of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub usage: Option<TokenUsage>,
    pub trace: Option<Trace>,
    pub service_tier: Option<ServiceTier>,
    pub performance_config: Option<PerformanceConfig>,
}

/// `standard` or `optimized`: how the service did answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PerformanceConfig {
    pub latency: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trace {
    pub guardrail: Option<Value>,
    pub prompt_router: Option<PromptRouterTrace>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PromptRouterTrace {
    /// An ARN.
    pub invoked_model_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceTier {
    #[serde(rename = "type")]
    pub kind: String,
}

/// Tokens. The names ending in `Count` are outside the service model, and sometimes the only ones (recorded Nova).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenUsage {
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_read_input_tokens: Option<i64>,
    pub cache_write_input_tokens: Option<i64>,
    pub cache_read_input_token_count: Option<i64>,
    pub cache_write_input_token_count: Option<i64>,
    pub cache_details: Option<Vec<CacheDetail>>,
    /// Outside the service model (recorded): uses of tools that AWS runs itself, by kind.
    pub server_tool_usage: BTreeMap<String, i64>,
}

/// The part of what was written to the cache that lives for `ttl`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheDetail {
    pub ttl: String,
    pub input_tokens: i64,
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
