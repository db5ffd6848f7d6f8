//! The reply.

use serde::Deserialize;
use serde_json::Value;

use super::{OutputItem, nullable};

/// A whole reply, or the state of a streamed one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Response {
    /// `completed`, `incomplete`, `failed`, `cancelled`, `in_progress` or `queued`.
    pub status: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub output: Vec<OutputItem>,
    pub usage: Option<Usage>,
    pub service_tier: Option<String>,
    /// Why there is no answer.
    pub error: Option<Value>,
    /// Why the answer is not complete.
    pub incomplete_details: Option<IncompleteDetails>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IncompleteDetails {
    /// `max_output_tokens` or `content_filter`.
    pub reason: Option<String>,
}

/// Token counts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Includes cached tokens, read and written.
    pub input_tokens: i64,
    /// Includes reasoning.
    pub output_tokens: i64,
    pub input_tokens_details: Option<InputDetails>,
    pub output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InputDetails {
    pub cached_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutputDetails {
    pub reasoning_tokens: Option<u64>,
}
