//! The body of `POST /model/{modelId}/converse` and `/converse-stream`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::content::{CachePointBlock, GuardrailConverseContentBlock, Message};

/// The body of a Converse or ConverseStream request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseRequest<'a> {
    pub messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemContentBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_config: Option<InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail_config: Option<GuardrailConfig<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub additional_model_request_fields: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_variables: Option<OrderedMap<'a, PromptVariable<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_model_response_field_paths: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<OrderedMap<'a, Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_config: Option<PerformanceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    pub output_config: OutputConfig<'a>,
}

/// A JSON object that keeps the order of its members.
#[derive(Debug)]
pub struct OrderedMap<'a, V>(pub Vec<(Cow<'a, str>, V)>);

impl<V: Serialize> Serialize for OrderedMap<'_, V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// The value of one variable of a managed prompt.
#[derive(Debug, Serialize)]
pub struct PromptVariable<'a> {
    pub text: &'a str,
}

/// A part of the system prompt.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SystemContentBlock<'a> {
    Text(Cow<'a, str>),
    GuardContent(GuardrailConverseContentBlock<'a>),
    CachePoint(CachePointBlock),
}

/// Sampling parameters and limits that all models share.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceConfig<'a> {
    /// The only hard cap on the cost of a request. Absent only if the service rejects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<&'a str>,
}

/// The tools of a request, and which of them the model may call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
}

/// An entry of `tools`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool<'a> {
    ToolSpec(ToolSpecification<'a>),
    /// A tool whose form only Claude knows. Only Claude's own body has it, not Converse.
    ClientTool {
        name: &'a str,
        json: &'a RawValue,
    },
    SystemTool {
        name: &'a str,
    },
    CachePoint(CachePointBlock),
}

/// A tool of the client.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpecification<'a> {
    pub name: Cow<'a, str>,
    pub description: Cow<'a, str>,
    pub input_schema: ToolInputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// The model learns of the tool by a search. Only Claude's own body has it, not Converse.
    #[serde(skip)]
    pub is_deferred: bool,
}

/// The JSON schema of a tool's input.
#[derive(Debug, Serialize)]
pub struct ToolInputSchema<'a> {
    pub json: Cow<'a, RawValue>,
}

/// A forced tool call. Absent in [`ToolConfig`], the model decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoice<'a> {
    Any {},
    Tool { name: Cow<'a, str> },
}

/// The guardrail that evaluates the request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailConfig<'a> {
    pub guardrail_identifier: &'a str,
    pub guardrail_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<&'a str>,
    /// ConverseStream only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_processing_mode: Option<&'a str>,
}

/// The requested latency mode.
#[derive(Debug, Serialize)]
pub struct PerformanceConfig<'a> {
    /// `standard` or `optimized`.
    pub latency: &'a str,
}

/// The requested service tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServiceTier {
    Default,
    Priority,
    Flex,
    Reserved,
}

/// The format of the answer, and the reasoning effort.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_format: Option<TextFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'a str>,
}

impl OutputConfig<'_> {
    fn is_empty(&self) -> bool {
        self.text_format.is_none() && self.effort.is_none()
    }
}

/// The format of an answer as text.
#[derive(Debug, Serialize)]
pub struct TextFormat<'a> {
    /// `json_schema`, the only value of the service model.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub structure: TextFormatStructure<'a>,
}

/// The `structure` member of [`TextFormat`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TextFormatStructure<'a> {
    pub json_schema: JsonSchemaDefinition<'a>,
}

/// A named JSON schema.
#[derive(Debug, Serialize)]
pub struct JsonSchemaDefinition<'a> {
    /// The schema, serialized into a JSON string.
    pub schema: String,
    pub name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Cow<'a, str>>,
}
