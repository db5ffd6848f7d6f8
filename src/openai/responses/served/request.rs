//! The request of `POST /v1/responses`.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::openai::{
    capped::{self, MAX_FALLBACKS},
    chat::PromptCacheOptions,
    extension::BedrockOptions,
    knowledge_base::Kb,
};

/// Maximum number of items of the input. Bounds the work that one request can cause.
pub const MAX_ITEMS: usize = 10_000;

/// Maximum number of tools in one list.
pub const MAX_TOOLS: usize = 1024;

/// Maximum number of pairs in `metadata`, OpenAI's limit.
const MAX_METADATA: usize = 16;

/// Maximum number of values of `include`.
const MAX_INCLUDE: usize = 64;

/// The request. `None` means absent or null, which OpenAI treats alike. Unknown members are ignored with a warning.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    pub model: String,
    #[serde(default)]
    pub input: Option<Input>,
    #[serde(default)]
    pub instructions: Option<String>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub max_output_tokens: Option<u32>,
    #[serde(default)]
    pub max_tool_calls: Option<u32>,
    #[serde(default)]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub top_p: Option<f64>,
    #[serde(default)]
    pub top_logprobs: Option<u32>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub safety_identifier: Option<String>,
    #[serde(default)]
    pub service_tier: Option<String>,
    #[serde(
        default,
        deserialize_with = "capped::optional_map::<_, _, MAX_METADATA>"
    )]
    pub metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub prompt_cache_key: Option<String>,
    #[serde(default)]
    pub prompt_cache_retention: Option<String>,
    #[serde(default)]
    pub prompt_cache_options: Option<PromptCacheOptions>,
    #[serde(default)]
    pub reasoning: Option<ReasoningOptions>,
    #[serde(default)]
    pub text: Option<TextOptions>,
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_TOOLS>")]
    pub tools: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    pub tool_choice: Option<Box<RawValue>>,
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    #[serde(
        default,
        deserialize_with = "capped::optional_list::<_, _, MAX_INCLUDE>"
    )]
    pub include: Option<Vec<String>>,
    #[serde(default)]
    pub truncation: Option<String>,
    #[serde(default)]
    pub store: Option<bool>,
    #[serde(default)]
    pub previous_response_id: Option<String>,
    #[serde(default)]
    pub background: Option<bool>,
    #[serde(default)]
    pub conversation: Option<Box<RawValue>>,
    #[serde(default)]
    pub prompt: Option<Box<RawValue>>,
    #[serde(default)]
    pub moderation: Option<Box<RawValue>>,
    /// This and the five members after it have no effect on the answer.
    #[serde(default)]
    pub client_metadata: Option<Box<RawValue>>,
    #[serde(default)]
    pub context_management: Option<Box<RawValue>>,
    #[serde(default)]
    pub access_programs: Option<Box<RawValue>>,
    #[serde(default)]
    pub background_options: Option<Box<RawValue>>,
    #[serde(default)]
    pub generate: Option<Box<RawValue>>,
    #[serde(default)]
    pub image: Option<Box<RawValue>>,
    /// This and the four members after it belong to chat completions.
    #[serde(default)]
    pub messages: Option<Box<RawValue>>,
    #[serde(default)]
    pub response_format: Option<Box<RawValue>>,
    #[serde(default)]
    pub max_tokens: Option<Box<RawValue>>,
    #[serde(default)]
    pub max_completion_tokens: Option<Box<RawValue>>,
    #[serde(default)]
    pub functions: Option<Box<RawValue>>,
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

/// `input`: the text of one user message, or items.
#[derive(Clone, Debug)]
pub enum Input {
    Text(String),
    Items(Vec<Box<RawValue>>),
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Input;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of items")
            }
            fn visit_str<E>(self, text: &str) -> Result<Input, E> {
                Ok(Input::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Input, E> {
                Ok(Input::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Input, A::Error> {
                capped::items(items, MAX_ITEMS).map(Input::Items)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// `stream_options`.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_obfuscation: Option<bool>,
    /// An extension: the last event lists what was dropped, lowered or repaired.
    #[serde(default)]
    pub include_warnings: Option<bool>,
}

/// `reasoning`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ReasoningOptions {
    #[serde(default)]
    pub effort: Option<String>,
    /// `auto`, `concise` or `detailed`. Without it, replies show no reasoning.
    #[serde(default)]
    pub summary: Option<String>,
    /// The older name of `summary`.
    #[serde(default)]
    pub generate_summary: Option<String>,
    /// Which turns the model sees the reasoning of. This model has only one way.
    #[serde(default)]
    pub context: Option<Box<RawValue>>,
    #[serde(default)]
    pub mode: Option<Box<RawValue>>,
}

/// `text`. Replies repeat it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct TextOptions {
    #[serde(default)]
    pub format: Option<TextFormat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
}

/// `text.format`; the members after `kind` belong to `json_schema`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TextFormat {
    /// `text`, `json_object` or `json_schema`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema, as the client wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}
