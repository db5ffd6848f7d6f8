//! Messages and their content blocks, on the way to Bedrock.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Debug, Serialize)]
pub struct Message<'a> {
    pub role: ConversationRole,
    pub content: Vec<ContentBlock<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationRole {
    User,
    Assistant,
    System,
}

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

/// Images, video and audio have one form.
#[derive(Clone, Debug, Serialize)]
pub struct MediaBlock<'a> {
    pub format: &'static str,
    pub source: MediaSource<'a>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaSource<'a> {
    /// Base64, which is how JSON carries a blob.
    Bytes(Cow<'a, str>),
    S3Location(S3Location<'a>),
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Location<'a> {
    pub uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_owner: Option<&'a str>,
}

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

#[derive(Clone, Copy, Debug, Serialize)]
pub struct CitationsConfig {
    pub enabled: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct SearchResultBlock<'a> {
    pub source: &'a str,
    pub title: &'a str,
    pub content: Vec<TextBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<CitationsConfig>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TextBlock<'a> {
    pub text: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseBlock<'a> {
    pub tool_use_id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    /// Always a JSON object.
    pub input: Cow<'a, RawValue>,
    /// Only `server_tool_use` is ever sent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultBlock<'a> {
    pub tool_use_id: Cow<'a, str>,
    pub content: Vec<ToolResultContentBlock<'a>>,
    /// Of our own only `error` is ever sent: success is what no status means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    /// Of a tool that AWS runs itself.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolResultContentBlock<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
    Image(MediaBlock<'a>),
    Document(DocumentBlock<'a>),
    Video(MediaBlock<'a>),
    SearchResult(SearchResultBlock<'a>),
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningContentBlock<'a> {
    ReasoningText(ReasoningTextBlock<'a>),
    /// Base64.
    RedactedContent(&'a str),
}

#[derive(Clone, Debug, Serialize)]
pub struct ReasoningTextBlock<'a> {
    pub text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GuardrailConverseContentBlock<'a> {
    Text(GuardrailConverseTextBlock<'a>),
    /// PNG or JPEG, as bytes.
    Image(MediaBlock<'a>),
}

#[derive(Debug, Serialize)]
pub struct GuardrailConverseTextBlock<'a> {
    pub text: Cow<'a, str>,
}

/// The prefix up to here is to be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CachePointBlock {
    #[serde(rename = "type")]
    kind: CachePointType,
    /// Absent: five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
}

impl CachePointBlock {
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

/// How long a cached prefix lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ttl {
    #[serde(rename = "1h")]
    Hour,
}
