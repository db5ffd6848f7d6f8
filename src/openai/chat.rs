//! The request of `POST /v1/chat/completions`, <https://platform.openai.com/docs/api-reference/chat/create>.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    capped::{self, MAX_FALLBACKS},
    extension::BedrockOptions,
    json_text,
    knowledge_base::{Kb, MAX_BASES, RankingOptions},
    message::{CacheControl, Message},
    object,
    stop::Stop,
    tool_choice::ToolChoice,
};

/// Maximum number of messages. Bounds the work that one request can cause.
const MAX_MESSAGES: usize = 10_000;

/// Maximum number of tools of a request, OpenAI's limit, and of tool calls of a message.
pub const MAX_TOOLS: usize = 128;

/// Maximum number of pairs in `metadata`, OpenAI's limit.
const MAX_METADATA: usize = 16;

/// Maximum number of pairs in `logit_bias`.
pub const MAX_BIASES: usize = 1024;

/// Maximum number of `modalities`.
const MAX_MODALITIES: usize = 16;

/// The request. `None` means absent or null, which OpenAI treats alike. Unknown members are ignored with a warning.
#[derive(Clone, Debug, Deserialize)]
pub struct ChatRequest {
    pub model: String,
    #[serde(deserialize_with = "object::list::<_, _, MAX_MESSAGES>")]
    pub messages: Vec<Message>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub max_completion_tokens: Option<u32>,
    #[serde(default)]
    pub max_tokens: Option<u32>,
    #[serde(default)]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub top_p: Option<f64>,
    #[serde(default)]
    pub stop: Option<Stop>,
    #[serde(default)]
    pub n: Option<u32>,
    #[serde(default, deserialize_with = "object::optional_list::<_, _, MAX_TOOLS>")]
    pub tools: Option<Vec<Tool>>,
    #[serde(default)]
    pub tool_choice: Option<ToolChoice>,
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    #[serde(default)]
    pub frequency_penalty: Option<f64>,
    #[serde(default)]
    pub presence_penalty: Option<f64>,
    #[serde(default)]
    pub seed: Option<i64>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub safety_identifier: Option<String>,
    #[serde(
        default,
        deserialize_with = "capped::optional_map::<_, _, MAX_METADATA>"
    )]
    pub metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub store: Option<bool>,
    #[serde(default)]
    pub service_tier: Option<String>,
    #[serde(default)]
    pub logprobs: Option<bool>,
    #[serde(default)]
    pub top_logprobs: Option<u32>,
    #[serde(default, deserialize_with = "capped::optional_map::<_, _, MAX_BIASES>")]
    pub logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    pub response_format: Option<ResponseFormat>,
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    #[serde(default)]
    pub verbosity: Option<String>,
    #[serde(
        default,
        deserialize_with = "capped::optional_list::<_, _, MAX_MODALITIES>"
    )]
    pub modalities: Option<Vec<String>>,
    #[serde(default)]
    pub prompt_cache_key: Option<String>,
    #[serde(default)]
    pub prompt_cache_retention: Option<String>,
    #[serde(default)]
    pub audio: Option<Box<RawValue>>,
    #[serde(default)]
    pub prediction: Option<Box<RawValue>>,
    #[serde(default)]
    pub web_search_options: Option<Box<RawValue>>,
    #[serde(default)]
    pub moderation: Option<Box<RawValue>>,
    /// The legacy form of `tools`.
    #[serde(default, deserialize_with = "object::optional_list::<_, _, MAX_TOOLS>")]
    pub functions: Option<Vec<Function>>,
    /// The legacy form of `tool_choice`.
    #[serde(default)]
    pub function_call: Option<ToolChoice>,
    /// An extension that many OpenAI-compatible servers support.
    #[serde(default)]
    pub top_k: Option<u32>,
    /// The form of `reasoning_effort` that OpenRouter uses. The members after it have the same meaning.
    #[serde(default)]
    pub reasoning: Option<ReasoningOptions>,
    /// Anthropic's form.
    #[serde(default)]
    pub thinking: Option<ThinkingOptions>,
    /// Anthropic's effort, beside `thinking`.
    #[serde(default)]
    pub output_config: Option<OutputOptions>,
    /// Qwen's form, with `thinking_budget` in tokens. A budget of -1 means that the model decides.
    #[serde(default)]
    pub enable_thinking: Option<bool>,
    #[serde(default)]
    pub thinking_budget: Option<i64>,
    /// The older form of `reasoning.exclude`, which vLLM uses, too.
    #[serde(default)]
    pub include_reasoning: Option<bool>,
    /// vLLM's form.
    #[serde(default)]
    pub chat_template_kwargs: Option<TemplateOptions>,
    #[serde(default)]
    pub prompt_cache_options: Option<PromptCacheOptions>,
    /// Anthropic's request for automatic cache points.
    #[serde(default)]
    pub cache_control: Option<CacheControl>,
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

/// `stream_options`.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
    #[serde(default)]
    pub include_obfuscation: Option<bool>,
    /// An extension: the last chunk lists what was dropped, lowered or repaired.
    #[serde(default)]
    pub include_warnings: Option<bool>,
}

/// `reasoning`, <https://openrouter.ai/docs/use-cases/reasoning-tokens>.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ReasoningOptions {
    #[serde(default)]
    pub effort: Option<String>,
    /// The budget in tokens.
    #[serde(default)]
    pub max_tokens: Option<i64>,
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Whether the reply leaves out the reasoning.
    #[serde(default)]
    pub exclude: Option<bool>,
    /// OpenAI's request for a summary; accepted, because replies have the reasoning anyway.
    #[serde(default)]
    pub summary: Option<Box<RawValue>>,
}

/// `thinking`, <https://docs.anthropic.com/en/api/messages>.
#[derive(Clone, Debug, Deserialize)]
pub struct ThinkingOptions {
    /// `enabled`, `adaptive` or `disabled`; `auto` in the API of some other models.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub budget_tokens: Option<i64>,
    /// `summarized`, or `omitted` if the reply leaves out the reasoning.
    #[serde(default)]
    pub display: Option<String>,
}

/// `output_config`.
#[derive(Clone, Debug, Deserialize)]
pub struct OutputOptions {
    #[serde(default)]
    pub effort: Option<String>,
}

/// `chat_template_kwargs`.
#[derive(Clone, Debug, Deserialize)]
pub struct TemplateOptions {
    #[serde(default)]
    pub enable_thinking: Option<bool>,
    /// DeepSeek's name for `enable_thinking`.
    #[serde(default)]
    pub thinking: Option<bool>,
    #[serde(default)]
    pub reasoning_effort: Option<String>,
}

/// `prompt_cache_options`.
#[derive(Clone, Debug, Deserialize)]
pub struct PromptCacheOptions {
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default)]
    pub ttl: Option<String>,
}

/// A tool; `kind` determines which of the other members are set.
#[derive(Clone, Debug, Deserialize)]
pub struct Tool {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub function: Option<Function>,
    #[serde(default)]
    pub custom: Option<CustomTool>,
    #[serde(default)]
    pub cache_control: Option<CacheControl>,
    /// For `file_search`: the names of the Knowledge Bases to search.
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_BASES>")]
    pub vector_store_ids: Option<Vec<String>>,
    /// For `file_search`, like the two members below.
    #[serde(default)]
    pub max_num_results: Option<u32>,
    #[serde(default)]
    pub ranking_options: Option<RankingOptions>,
    #[serde(default, alias = "filter")]
    pub filters: Option<Box<RawValue>>,
    /// The nested form of another API. Rejected instead of ignored, because it may contain a filter.
    #[serde(default)]
    pub file_search: Option<Box<RawValue>>,
    /// Whether the model has the tool from the start. Only Anthropic's Messages defers tools.
    #[serde(skip)]
    pub deferral: Deferral,
    /// A tool whose form only Claude knows, from Anthropic's Messages.
    #[serde(skip)]
    pub client_tool: Option<Box<ClientTool>>,
    /// The path of the tool in a body of another API, whose list differs from this one.
    #[serde(skip)]
    pub at: Option<String>,
    /// The namespace of the tool, from Responses. Its name is a part of the tool's name.
    #[serde(skip)]
    pub namespace: Option<Box<Namespace>>,
}

/// The namespace of a tool.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub name: String,
    /// The name of the tool in it.
    pub tool: String,
    /// What the tools have in common. The description of the first one begins with it.
    pub about: Arc<str>,
}

/// Whether a model has a tool from the start, or learns of it by a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deferral {
    #[default]
    None,
    /// The conversation refers to the tool.
    Found,
    /// The conversation does not refer to the tool yet.
    Hidden,
}

/// A tool that the client runs, and that has no schema because Claude knows it.
#[derive(Clone, Debug)]
pub struct ClientTool {
    pub name: String,
    /// The definition, as the client wrote it.
    pub json: Box<RawValue>,
}

/// A tool whose input is text instead of JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct CustomTool {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// `text` or a grammar, as the client wrote it.
    #[serde(default)]
    pub format: Option<Box<RawValue>>,
}

impl CustomTool {
    /// Reports whether the input must follow a grammar.
    pub fn has_grammar(&self) -> bool {
        let format = self.format.as_deref();
        format.is_some_and(|format| json_text::contains(format.get(), "grammar"))
    }
}

/// A function that the model may call.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// A JSON schema, as the client wrote it.
    #[serde(default)]
    pub parameters: Option<Box<RawValue>>,
    #[serde(default)]
    pub strict: Option<bool>,
    /// The place of the tool's cache point in LiteLLM's format.
    #[serde(default)]
    pub cache_control: Option<CacheControl>,
}

/// `response_format`.
#[derive(Clone, Debug, Deserialize)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub json_schema: Option<JsonSchema>,
}

/// The schema of a structured answer.
#[derive(Clone, Debug, Deserialize)]
pub struct JsonSchema {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// The schema as the client wrote it. If absent, any object is valid.
    #[serde(default)]
    pub schema: Option<Box<RawValue>>,
    #[serde(default)]
    pub strict: Option<bool>,
}
