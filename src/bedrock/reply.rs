//! The reply of Converse. A member is required only if the reply is useless without it.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

/// The body of a successful Converse reply.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseReply {
    pub output: Output,
    /// A string and not an enum, because the service adds values.
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

/// The `output` member of [`ConverseReply`].
#[derive(Debug, Deserialize)]
pub struct Output {
    pub message: Message,
}

/// The assistant's message.
#[derive(Debug, Deserialize)]
pub struct Message {
    #[serde(default)]
    pub content: Vec<ContentBlock>,
}

/// A part of the message. The service model defines a union, but recorded replies have additional members beside the
/// known one, which a serde enum would reject.
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
    /// Returns whether the block has no member that lintel knows.
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

/// A tool call of the model.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseBlock {
    pub tool_use_id: String,
    pub name: String,
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
    /// `server_tool_use` for a call that AWS answers.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// The result of a tool that AWS runs. Its content is passed through as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToolResultBlock {
    pub tool_use_id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<String>,
    pub content: Vec<Value>,
}

/// Reasoning of the model, as text or encrypted.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReasoningContentBlock {
    pub reasoning_text: Option<ReasoningText>,
    /// Base64.
    pub redacted_content: Option<String>,
}

/// Reasoning as text, with the signature to send it back with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReasoningText {
    pub text: String,
    pub signature: Option<String>,
}

/// Text with its citations.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationsContentBlock {
    pub content: Vec<GeneratedContent>,
    /// Raw JSON of [`Citation`]s, because their unknown members go to the client too.
    pub citations: Vec<Box<RawValue>>,
}

/// A text of a [`CitationsContentBlock`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GeneratedContent {
    pub text: String,
}

/// The members of a citation that lintel maps to OpenAI's annotations.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Citation {
    pub title: Option<String>,
    pub source: Option<String>,
    pub location: Option<CitationLocation>,
}

/// The cited place.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CitationLocation {
    pub web: Option<WebLocation>,
    pub document_char: Option<DocumentLocation>,
    pub document_page: Option<DocumentLocation>,
    pub document_chunk: Option<DocumentLocation>,
}

/// A cited web page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct WebLocation {
    pub url: Option<String>,
}

/// A cited document of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DocumentLocation {
    pub document_index: Option<u64>,
}

/// An image of the answer, or the error that replaces it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageBlock {
    pub format: String,
    pub source: ImageSource,
    pub error: Option<IgnoredAny>,
}

/// The data of an [`ImageBlock`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageSource {
    /// Base64.
    pub bytes: Option<String>,
}

/// The `metadata` event of ConverseStream, usually the last.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub usage: Option<TokenUsage>,
    pub trace: Option<Trace>,
    pub service_tier: Option<ServiceTier>,
    pub performance_config: Option<PerformanceConfig>,
}

/// The latency mode that the service used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PerformanceConfig {
    /// `standard` or `optimized`.
    pub latency: String,
}

/// Traces of the guardrail and of the prompt router.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trace {
    pub guardrail: Option<Value>,
    pub prompt_router: Option<PromptRouterTrace>,
}

/// The decision of a prompt router.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PromptRouterTrace {
    /// ARN of the model that the router chose.
    pub invoked_model_id: Option<String>,
}

/// The service tier that answered.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceTier {
    #[serde(rename = "type")]
    pub kind: String,
}

/// Token counts. The members that end in `Count` are not in the service model, but recorded Nova replies sometimes have
/// only those.
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
    /// Number of uses of each tool that AWS runs. Not in the service model; seen in recorded replies.
    pub server_tool_usage: BTreeMap<String, i64>,
}

/// The tokens that were written to the cache with lifetime `ttl`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheDetail {
    pub ttl: String,
    pub input_tokens: i64,
}

/// The body of an error reply. Services differ in the spelling of its members.
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
