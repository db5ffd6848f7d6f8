//! The `usage` object.

use serde::Serialize;
use serde_json::value::RawValue;

/// The number of tokens by kind. `prompt_tokens` includes tokens that were read from or written to the prompt cache.
#[derive(Debug, Default, Serialize)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: u64,
    pub prompt_tokens_details: PromptTokensDetails,
    pub completion_tokens_details: CompletionTokensDetails,
    /// An extension: the number of calls of tools that AWS runs, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_tool_uses: Option<u64>,
    /// An extension: the exact cost in US dollars. Absent if no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
    /// An extension: true if Bedrock reported no usage and the gateway estimated it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// The parts of `prompt_tokens`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PromptTokensDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
    /// An extension: the part of `cache_write_tokens` with a TTL of 5 minutes. Absent if no tokens were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m_tokens: Option<u64>,
    /// An extension: the part of `cache_write_tokens` with a TTL of 1 hour. Absent if no tokens were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_tokens: Option<u64>,
    pub audio_tokens: u64,
}

/// The parts of `completion_tokens`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CompletionTokensDetails {
    pub reasoning_tokens: u64,
    pub audio_tokens: u64,
    pub accepted_prediction_tokens: u64,
    pub rejected_prediction_tokens: u64,
    /// An extension: true if the model did not report `reasoning_tokens` and the gateway estimated them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reasoning_tokens_estimated: bool,
}
