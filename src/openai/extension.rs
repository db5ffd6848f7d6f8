//! lintel's extensions of the chat request.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::capped;

/// Maximum number of response field paths, Bedrock's limit.
const MAX_PATHS: usize = 10;

/// Maximum number of pairs of request metadata. Bedrock accepts fewer, and the others are dropped with a warning.
const MAX_METADATA: usize = 64;

/// Maximum size of the additional request fields, in bytes. They are parsed, which takes many times their size.
const MAX_FIELDS: usize = 128 * 1024;

/// Maximum number of variables of a prompt.
const MAX_VARIABLES: usize = 1000;

/// `bedrock`: options that are specific to Bedrock. Unknown members are rejected, because they may affect cost or safety.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BedrockOptions {
    #[serde(default)]
    pub guardrail: Option<GuardrailOptions>,
    /// Merged with the fields that the gateway itself sends.
    #[serde(default, deserialize_with = "capped::optional_object::<_, MAX_FIELDS>")]
    pub additional_model_request_fields: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_PATHS>")]
    pub additional_model_response_field_paths: Option<Vec<String>>,
    #[serde(
        default,
        deserialize_with = "capped::optional_map::<_, _, MAX_METADATA>"
    )]
    pub request_metadata: Option<BTreeMap<String, String>>,
    /// `standard` or `optimized` latency.
    #[serde(default)]
    pub performance: Option<String>,
    /// If `auto`, the gateway places cache points.
    #[serde(default)]
    pub cache: Option<String>,
    /// The variables of a managed prompt, by name.
    #[serde(
        default,
        deserialize_with = "capped::optional_map::<_, _, MAX_VARIABLES>"
    )]
    pub prompt_variables: Option<BTreeMap<String, String>>,
}

/// Converse's `guardrailConfig`, in snake case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailOptions {
    pub identifier: String,
    pub version: String,
    /// `enabled`, `disabled` or `enabled_full`.
    #[serde(default)]
    pub trace: Option<String>,
    /// `sync` or `async`; applies only to streams.
    #[serde(default)]
    pub stream_processing_mode: Option<String>,
    /// The text that the guardrail evaluates: `explicit` (everything, the default), `last_user`, `all_user` or
    /// `tool_results`.
    #[serde(default)]
    pub guard: Option<String>,
}
