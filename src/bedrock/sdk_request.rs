//! A Converse request as AWS SDKs send it, as far as the gateway must know it to bound what it costs. Unknown members are
//! errors, because they may affect cost or policy.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

/// JSON that is not read.
type Raw = Box<RawValue>;

/// The body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkConverse<'a> {
    #[serde(borrow)]
    pub messages: Vec<SdkMessage<'a>>,
    #[serde(borrow)]
    pub system: Vec<SdkBlock<'a>>,
    pub inference_config: Option<SdkInferenceConfig>,
    pub tool_config: Option<SdkToolConfig>,
    pub guardrail_config: Option<SdkGuardrail>,
    pub additional_model_request_fields: Option<Map<String, Value>>,
    pub additional_model_response_field_paths: Option<Raw>,
    pub prompt_variables: Option<Raw>,
    pub request_metadata: Option<BTreeMap<String, String>>,
    pub performance_config: Option<SdkPerformance>,
    pub service_tier: Option<SdkTier>,
    pub output_config: Option<Raw>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SdkMessage<'a> {
    pub role: Raw,
    #[serde(borrow)]
    pub content: Vec<SdkBlock<'a>>,
}

/// A block of a message, of the system text, or of a tool result.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkBlock<'a> {
    pub text: Option<Raw>,
    pub json: Option<Raw>,
    #[serde(borrow)]
    pub image: Option<SdkMedia<'a>>,
    #[serde(borrow)]
    pub document: Option<SdkMedia<'a>>,
    #[serde(borrow)]
    pub video: Option<SdkMedia<'a>>,
    #[serde(borrow)]
    pub audio: Option<SdkMedia<'a>>,
    pub tool_use: Option<SdkToolUse>,
    #[serde(borrow)]
    pub tool_result: Option<SdkToolResult<'a>>,
    #[serde(borrow)]
    pub guard_content: Option<SdkGuardContent<'a>>,
    pub cache_point: Option<Raw>,
    pub reasoning_content: Option<Raw>,
    pub citations_content: Option<Raw>,
    pub search_result: Option<Raw>,
}

/// An image, a document, a video or audio.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkMedia<'a> {
    #[serde(borrow)]
    pub source: SdkSource<'a>,
    pub format: Option<Raw>,
    pub name: Option<Raw>,
    pub context: Option<Raw>,
    pub citations: Option<Raw>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkSource<'a> {
    /// Base64.
    #[serde(borrow)]
    pub bytes: Option<Cow<'a, str>>,
    pub s3_location: Option<Raw>,
    pub text: Option<Raw>,
    pub content: Option<Raw>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SdkToolUse {
    pub tool_use_id: Raw,
    pub name: Raw,
    pub input: Raw,
    /// Set for a tool that AWS has run.
    #[serde(default, rename = "type")]
    pub kind: Option<Raw>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SdkToolResult<'a> {
    pub tool_use_id: Raw,
    #[serde(borrow)]
    pub content: Vec<SdkBlock<'a>>,
    #[serde(default)]
    pub status: Option<Raw>,
    #[serde(default, rename = "type")]
    pub kind: Option<Raw>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SdkGuardContent<'a> {
    pub text: Option<Raw>,
    #[serde(borrow)]
    pub image: Option<SdkMedia<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkInferenceConfig {
    pub max_tokens: Option<u32>,
    pub temperature: Option<Raw>,
    pub top_p: Option<Raw>,
    pub stop_sequences: Option<Raw>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkToolConfig {
    pub tools: Vec<SdkTool>,
    pub tool_choice: Option<Raw>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkTool {
    pub tool_spec: Option<Raw>,
    pub cache_point: Option<Raw>,
    /// A tool that AWS runs.
    pub system_tool: Option<Raw>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SdkGuardrail {
    pub guardrail_identifier: Option<Raw>,
    pub guardrail_version: Option<Raw>,
    pub trace: Option<String>,
    pub stream_processing_mode: Option<Raw>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SdkPerformance {
    pub latency: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SdkTier {
    #[serde(rename = "type")]
    pub kind: String,
}
