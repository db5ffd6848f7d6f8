//! The `usage` object.

use serde::Serialize;
use serde_json::value::RawValue;

/// Tokens. `prompt_tokens` includes what was read from and written to the prompt cache.
#[derive(Debug, Default, Serialize)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: u64,
    pub prompt_tokens_details: PromptTokensDetails,
    pub completion_tokens_details: CompletionTokensDetails,
    /// An extension: uses of tools that AWS runs itself, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_tool_uses: Option<u64>,
    /// An extension: US dollars, an exact decimal number; left out where no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
    /// An extension: the service told no usage, so the gateway counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PromptTokensDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
    /// An extension: the parts of `cache_write_tokens` by how long they live, where any were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_tokens: Option<u64>,
    pub audio_tokens: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CompletionTokensDetails {
    pub reasoning_tokens: u64,
    pub audio_tokens: u64,
    pub accepted_prediction_tokens: u64,
    pub rejected_prediction_tokens: u64,
    /// An extension: the model did not tell `reasoning_tokens`, so the gateway estimated them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reasoning_tokens_estimated: bool,
}
