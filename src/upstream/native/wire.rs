//! Replies of the endpoints. A member is required only if the reply is useless without it, and null is the same as absent.

use serde::Deserialize;
use serde_json::Value;

/// A whole reply, or one event of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Completion {
    pub choices: Option<Vec<Choice>>,
    pub usage: Option<Usage>,
    pub service_tier: Option<String>,
    /// An error instead of an answer.
    pub error: Option<Value>,
    /// `INTERVENED` if a guardrail did.
    #[serde(rename = "amazon-bedrock-guardrailAction")]
    pub guardrail_action: Option<String>,
    #[serde(rename = "amazon-bedrock-trace")]
    pub trace: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// The position of the choice.
    pub index: u64,
    /// In a whole reply.
    pub message: Option<Message>,
    /// In a stream.
    pub delta: Option<Message>,
    /// A string and not an enum, because servers add values.
    pub finish_reason: Option<String>,
}

/// A message, or the part of one that an event adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub content: Option<String>,
    pub refusal: Option<String>,
    pub reasoning_content: Option<String>,
    /// bedrock-mantle's name for `reasoning_content`.
    pub reasoning: Option<String>,
    pub tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolCall {
    /// The position of the call. Absent in whole replies.
    pub index: Option<usize>,
    pub id: Option<String>,
    pub function: Option<Function>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Function {
    pub name: Option<String>,
    pub arguments: Option<String>,
}

/// Token counts. Cumulative in a stream, so the last event is right.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Includes cached tokens, read and written.
    pub prompt_tokens: i64,
    /// Includes reasoning.
    pub completion_tokens: i64,
    pub prompt_tokens_details: Option<PromptDetails>,
    pub completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PromptDetails {
    pub cached_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CompletionDetails {
    pub reasoning_tokens: Option<u64>,
}
