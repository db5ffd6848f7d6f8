//! lintel's extensions of the chat request.

use std::collections::BTreeMap;

use serde::Deserialize;

/// lintel's extension: what only Bedrock has. Unknown members are refused, because they may be about money or safety.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BedrockOptions {
    #[serde(default)]
    pub guardrail: Option<GuardrailOptions>,
    /// Merged into what the gateway itself sends there.
    #[serde(default)]
    pub additional_model_request_fields: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    pub additional_model_response_field_paths: Option<Vec<String>>,
    #[serde(default)]
    pub request_metadata: Option<BTreeMap<String, String>>,
    /// `standard` or `optimized` latency.
    #[serde(default)]
    pub performance: Option<String>,
    /// `auto`: the gateway places cache points.
    #[serde(default)]
    pub cache: Option<String>,
    /// For a managed prompt: `{name: text}`.
    #[serde(default)]
    pub prompt_variables: Option<BTreeMap<String, String>>,
}

/// `guardrailConfig`, in the words of Converse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailOptions {
    pub identifier: String,
    pub version: String,
    /// `enabled`, `disabled` or `enabled_full`.
    #[serde(default)]
    pub trace: Option<String>,
    /// `sync` or `async`; streams only.
    #[serde(default)]
    pub stream_processing_mode: Option<String>,
    /// Which text is evaluated: `explicit` (all of it), `last_user`, `all_user`, `tool_results`.
    #[serde(default)]
    pub guard: Option<String>,
}
