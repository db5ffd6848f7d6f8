//! The replies of `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::openai::knowledge_base::KbReply;

/// The `message` object.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    pub id: &'a str,
    /// Always `message`.
    pub r#type: &'static str,
    /// Always `assistant`.
    pub role: &'static str,
    pub model: &'a str,
    pub content: Vec<ContentBlock>,
    /// Null at the start of a stream.
    pub stop_reason: Option<StopReason>,
    pub stop_sequence: Option<&'a str>,
    /// Why the model refused, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_details: Option<&'a Value>,
    pub usage: Usage,
    #[serde(flatten)]
    pub extensions: Extensions<'a>,
}

/// lintel's extensions: members of a whole message, and of the event `message_delta`.
#[derive(Debug, Default, Serialize)]
pub struct Extensions<'a> {
    /// The retrieval that the answer is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kb: Option<KbReply<'a>>,
    /// The trace of the guardrail, if the operator exposes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock_guardrail: Option<&'a Value>,
}

/// A content block of an answer.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBlock {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Value>,
    },
    Thinking {
        thinking: String,
        /// Empty if the model signs no reasoning.
        signature: String,
    },
    /// `data` is Base64.
    RedactedThinking { data: String },
    ToolUse {
        id: String,
        name: String,
        /// JSON text as the model wrote it.
        input: Box<RawValue>,
    },
    /// A call of a tool that AWS runs.
    ServerToolUse {
        id: String,
        name: String,
        input: Value,
    },
    /// The result of a web search that AWS ran.
    WebSearchToolResult {
        tool_use_id: String,
        content: Vec<Value>,
    },
    /// An extension: an image that the model generated.
    Image { source: ImageSource },
}

/// The data of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageSource {
    /// Always `base64`.
    pub r#type: &'static str,
    pub media_type: String,
    pub data: String,
}

/// The reason why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    EndTurn,
    MaxTokens,
    StopSequence,
    ToolUse,
    Refusal,
    ModelContextWindowExceeded,
}

/// The tokens of a call.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    /// Input that was neither read from nor written to the prompt cache.
    pub input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub cache_creation: CacheCreation,
    /// Output, including thinking.
    pub output_tokens: u64,
    pub output_tokens_details: OutputTokensDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_tool_use: Option<ServerToolUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
    /// An extension: the exact cost in US dollars. Absent if a price is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
    /// An extension: true if the gateway counted the tokens, because the service did not report them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// The tokens written to the prompt cache, by their time to live.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CacheCreation {
    pub ephemeral_5m_input_tokens: u64,
    pub ephemeral_1h_input_tokens: u64,
}

/// Parts of the output.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OutputTokensDetails {
    pub thinking_tokens: u64,
}

/// Uses of tools that AWS runs.
#[derive(Clone, Debug, Serialize)]
pub struct ServerToolUse {
    pub web_search_requests: u64,
}

/// The reply of `count_tokens`.
#[derive(Debug, Serialize)]
pub struct TokenCount {
    pub input_tokens: u64,
}
