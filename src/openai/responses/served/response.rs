//! The response object.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{OutputItem, TextOptions};
use crate::openai::knowledge_base::KbReply;

/// The `response` object: a whole reply, or the state of a streamed one.
#[derive(Debug, Serialize)]
pub struct ResponseObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// Unix seconds.
    pub created_at: u64,
    pub completed_at: Option<u64>,
    /// `in_progress`, `completed`, `incomplete` or `failed`.
    pub status: &'static str,
    pub background: bool,
    pub error: Option<Failure<'a>>,
    pub incomplete_details: Option<Reason>,
    pub model: &'a str,
    pub output: &'a [OutputItem],
    #[serde(flatten)]
    pub settings: &'a Settings,
    pub usage: Option<Usage>,
    /// The tier that served the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
    /// An extension: the trace of the guardrail, if the operator exposes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock_guardrail: Option<&'a serde_json::Value>,
    /// An extension: the retrieval that the answer is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kb: Option<KbReply<'a>>,
    /// An extension: what was dropped, lowered or repaired, if the client asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_lintel_warnings: Option<Vec<String>>,
}

/// The members of the request that the response repeats. The SDKs require the last three.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Settings {
    pub instructions: Option<String>,
    pub max_output_tokens: Option<u32>,
    pub max_tool_calls: Option<u32>,
    pub previous_response_id: Option<String>,
    pub prompt_cache_key: Option<String>,
    pub reasoning: ReasoningSettings,
    pub safety_identifier: Option<String>,
    pub store: bool,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub text: TextOptions,
    pub truncation: &'static str,
    pub user: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub parallel_tool_calls: bool,
    pub tool_choice: Box<RawValue>,
    pub tools: Vec<Box<RawValue>>,
}

/// `reasoning`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReasoningSettings {
    pub effort: Option<String>,
    pub summary: Option<String>,
}

/// `error`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Failure<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

/// `incomplete_details`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reason {
    /// `max_output_tokens` or `content_filter`.
    pub reason: &'static str,
}

/// The reply of `POST /v1/responses/compact`.
#[derive(Debug, Serialize)]
pub struct CompactedResponse<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// Unix seconds.
    pub created_at: u64,
    pub output: &'a [OutputItem],
    pub usage: Option<Usage>,
}

/// Token counts. `input_tokens` includes tokens that were read from or written to the prompt cache, and `output_tokens`
/// includes reasoning.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub input_tokens_details: InputDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputDetails,
    pub total_tokens: u64,
    /// An extension: the exact cost in US dollars. Absent if no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
    /// An extension: true if Bedrock reported no usage and the gateway estimated it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct InputDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct OutputDetails {
    pub reasoning_tokens: u64,
}
