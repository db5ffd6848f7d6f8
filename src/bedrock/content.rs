//! Messages and content blocks of requests to Bedrock.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

/// One turn of a conversation.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    pub role: ConversationRole,
    pub content: Vec<ContentBlock<'a>>,
}

/// The author of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationRole {
    User,
    Assistant,
    System,
}

/// A part of a turn.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentBlock<'a> {
    Text(Cow<'a, str>),
    Image(MediaBlock<'a>),
    Document(DocumentBlock<'a>),
    Video(MediaBlock<'a>),
    Audio(MediaBlock<'a>),
    ToolUse(ToolUseBlock<'a>),
    ToolResult(ToolResultBlock<'a>),
    GuardContent(GuardrailConverseContentBlock<'a>),
    CachePoint(CachePointBlock),
    ReasoningContent(ReasoningContentBlock<'a>),
    SearchResult(SearchResultBlock<'a>),
}

/// An image, video or audio block; the three shapes are the same.
#[derive(Clone, Debug, Serialize)]
pub struct MediaBlock<'a> {
    pub format: &'static str,
    pub source: MediaSource<'a>,
}

/// The data of a media block, inline or in S3.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaSource<'a> {
    /// Base64.
    Bytes(Cow<'a, str>),
    S3Location(S3Location<'a>),
}

/// An object in S3.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Location<'a> {
    pub uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_owner: Option<&'a str>,
}

/// A document, such as a PDF.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentBlock<'a> {
    pub format: &'static str,
    pub name: String,
    pub source: MediaSource<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<CitationsConfig>,
}

/// Whether the model cites the block.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CitationsConfig {
    pub enabled: bool,
}

/// A search result that the model can cite.
#[derive(Clone, Debug, Serialize)]
pub struct SearchResultBlock<'a> {
    pub source: &'a str,
    pub title: &'a str,
    pub content: Vec<TextBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<CitationsConfig>,
}

/// A text of a [`SearchResultBlock`].
#[derive(Clone, Debug, Serialize)]
pub struct TextBlock<'a> {
    pub text: &'a str,
}

/// A tool call of the model.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseBlock<'a> {
    pub tool_use_id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    /// Always a JSON object.
    pub input: Cow<'a, RawValue>,
    /// `server_tool_use` for a tool that AWS runs, else absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
}

/// The result of a tool call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultBlock<'a> {
    pub tool_use_id: Cow<'a, str>,
    pub content: Vec<ToolResultContentBlock<'a>>,
    /// `error` for a failed call. Absent means success. Results of tools that AWS runs keep the status that AWS reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    /// The kind of tool that AWS ran; absent for the client's tools.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
}

/// A part of a tool result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolResultContentBlock<'a> {
    Json(Cow<'a, RawValue>),
    Text(Cow<'a, str>),
    Image(MediaBlock<'a>),
    Document(DocumentBlock<'a>),
    Video(MediaBlock<'a>),
    SearchResult(SearchResultBlock<'a>),
    /// The name of a tool that a search has found. Only Claude's own body has it, not Converse.
    ToolReference(&'a str),
}

/// Reasoning of the model, as text or encrypted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningContentBlock<'a> {
    ReasoningText(ReasoningTextBlock<'a>),
    /// Base64.
    RedactedContent(&'a str),
}

/// Reasoning as text, with the signature that proves its origin to the model.
#[derive(Clone, Debug, Serialize)]
pub struct ReasoningTextBlock<'a> {
    pub text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<&'a str>,
}

/// Content that a guardrail evaluates.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GuardrailConverseContentBlock<'a> {
    Text(GuardrailConverseTextBlock<'a>),
    /// PNG or JPEG, as inline bytes.
    Image(MediaBlock<'a>),
}

/// Text that a guardrail evaluates.
#[derive(Debug, Serialize)]
pub struct GuardrailConverseTextBlock<'a> {
    pub text: Cow<'a, str>,
    /// The uses of the text. If empty, it is evaluated by all policies except the contextual grounding check.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub qualifiers: &'static [GuardrailQualifier],
}

/// A use of a text by a guardrail. Text with only `GroundingSource` or `Query` is evaluated by no other policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailQualifier {
    /// The source that an answer is checked against.
    GroundingSource,
    /// The question that an answer should be relevant to.
    Query,
    /// Text that all other policies evaluate.
    GuardContent,
}

/// Marks the end of a prefix to cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CachePointBlock {
    #[serde(rename = "type")]
    kind: CachePointType,
    /// Absent means five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
}

impl CachePointBlock {
    /// Creates a cache point of type `default`.
    pub fn new(ttl: Option<Ttl>) -> Self {
        Self {
            kind: CachePointType::Default,
            ttl,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CachePointType {
    Default,
}

/// Lifetime of a cached prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ttl {
    /// One hour.
    #[serde(rename = "1h")]
    Hour,
}
