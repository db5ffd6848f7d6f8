//! The requests of `POST /v1/messages` and `POST /v1/messages/count_tokens`,
//! <https://platform.claude.com/docs/en/api/messages/create>.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::content::{Content, Message};
use crate::openai::{
    capped::{self, MAX_FALLBACKS},
    extension::BedrockOptions,
    knowledge_base::Kb,
    message::CacheControl,
    object,
};

/// Maximum number of messages. Bounds the work that one request can cause.
const MAX_MESSAGES: usize = 10_000;

/// Maximum number of tools. Clients with many MCP servers declare hundreds.
const MAX_TOOLS: usize = 1024;

/// Maximum number of stop sequences.
const MAX_STOPS: usize = 64;

/// Maximum number of beta flags.
const MAX_BETAS: usize = 64;

/// The request. `None` means absent or null. Unknown members are ignored with a warning.
#[derive(Clone, Debug, Deserialize)]
pub struct MessagesRequest {
    pub model: String,
    #[serde(deserialize_with = "object::list::<_, _, MAX_MESSAGES>")]
    pub messages: Vec<Message>,
    /// Required by `/v1/messages`, absent in `count_tokens`.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    #[serde(default)]
    pub system: Option<Content>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub top_p: Option<f64>,
    #[serde(default)]
    pub top_k: Option<u32>,
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_STOPS>")]
    pub stop_sequences: Option<Vec<String>>,
    #[serde(default, deserialize_with = "object::optional_list::<_, _, MAX_TOOLS>")]
    pub tools: Option<Vec<Tool>>,
    #[serde(default)]
    pub tool_choice: Option<ToolChoice>,
    #[serde(default)]
    pub thinking: Option<Thinking>,
    #[serde(default)]
    pub output_config: Option<OutputConfig>,
    /// The older place of `output_config.format`.
    #[serde(default)]
    pub output_format: Option<OutputFormat>,
    #[serde(default)]
    pub metadata: Option<Metadata>,
    #[serde(default)]
    pub service_tier: Option<String>,
    /// A request for automatic cache points.
    #[serde(default)]
    pub cache_control: Option<CacheControl>,
    #[serde(default)]
    pub context_management: Option<Box<RawValue>>,
    /// Beta flags in the body, where SDKs and Bedrock's clients put them.
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_BETAS>")]
    pub betas: Option<Vec<Box<RawValue>>>,
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_BETAS>")]
    pub anthropic_beta: Option<Vec<Box<RawValue>>>,
    /// Settings that the client checks in the reply, so that they cannot be ignored.
    #[serde(default)]
    pub safeguards: Option<Box<RawValue>>,
    /// An extension: options for retrieval from Knowledge Bases.
    #[serde(default)]
    pub kb: Option<Kb>,
    /// An extension: options that are specific to Bedrock.
    #[serde(default)]
    pub bedrock: Option<BedrockOptions>,
    /// An extension: the models to call if the first one fails, in this order.
    #[serde(
        default,
        deserialize_with = "capped::optional_list::<_, _, MAX_FALLBACKS>"
    )]
    pub models: Option<Vec<String>>,
    /// An extension: the maximum cost of the call, in US dollars.
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

/// A tool. `kind` is absent or `custom` for a function of the client.
#[derive(Clone, Debug, Deserialize)]
pub struct Tool {
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// A JSON schema, as the client wrote it.
    #[serde(default)]
    pub input_schema: Option<Box<RawValue>>,
    #[serde(default)]
    pub strict: Option<bool>,
    #[serde(default)]
    pub cache_control: Option<CacheControl>,
    /// The model learns of the tool only by a `tool_reference`.
    #[serde(default)]
    pub defer_loading: Option<bool>,
    /// For tools that control a computer, in pixels.
    #[serde(default)]
    pub display_width_px: Option<u32>,
    #[serde(default)]
    pub display_height_px: Option<u32>,
    #[serde(default)]
    pub display_number: Option<u32>,
    #[serde(default)]
    pub enable_zoom: Option<bool>,
    /// For tools that edit text: the most characters of a file that are shown.
    #[serde(default)]
    pub max_characters: Option<u32>,
    /// This and the members below have no counterpart in Converse, and the answer does not depend on them.
    #[serde(default)]
    pub eager_input_streaming: Option<Box<RawValue>>,
    #[serde(default)]
    pub allowed_callers: Option<Box<RawValue>>,
    #[serde(default)]
    pub input_examples: Option<Box<RawValue>>,
}

/// `tool_choice`.
#[derive(Clone, Debug, Deserialize)]
pub struct ToolChoice {
    /// `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub disable_parallel_tool_use: Option<bool>,
}

/// `thinking`.
#[derive(Clone, Debug, Deserialize)]
pub struct Thinking {
    /// `enabled`, `adaptive`, `disabled` or `between_tools`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub budget_tokens: Option<u32>,
    /// `omitted`, `summarized` or `updates`.
    #[serde(default)]
    pub display: Option<String>,
    #[serde(default)]
    pub block_binding: Option<Box<RawValue>>,
}

/// `output_config`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OutputConfig {
    #[serde(default)]
    pub effort: Option<String>,
    #[serde(default)]
    pub format: Option<OutputFormat>,
    #[serde(default)]
    pub task_budget: Option<Box<RawValue>>,
}

/// The schema of a structured answer.
#[derive(Clone, Debug, Deserialize)]
pub struct OutputFormat {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub schema: Option<Box<RawValue>>,
}

/// `metadata`.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// The end user of the client's application.
    #[serde(default)]
    pub user_id: Option<String>,
}
