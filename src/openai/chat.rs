//! The request of `POST /v1/chat/completions`, <https://platform.openai.com/docs/api-reference/chat/create>.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    extension::BedrockOptions,
    knowledge_base::{Kb, RankingOptions},
    message::{CacheControl, Message},
    object,
    tool_choice::ToolChoice,
};

/// Members that lintel knows. `None` is "absent or null", which OpenAI treats alike.
#[derive(Clone, Debug, Deserialize)]
pub struct ChatRequest {
    pub model: String,
    #[serde(deserialize_with = "object::list")]
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
    #[serde(default, deserialize_with = "object::optional_list")]
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
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub store: Option<bool>,
    #[serde(default)]
    pub service_tier: Option<String>,
    #[serde(default)]
    pub logprobs: Option<bool>,
    #[serde(default)]
    pub top_logprobs: Option<u32>,
    #[serde(default)]
    pub logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    pub response_format: Option<ResponseFormat>,
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    #[serde(default)]
    pub verbosity: Option<String>,
    #[serde(default)]
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
    /// The form of `tools` before there were tools.
    #[serde(default, deserialize_with = "object::optional_list")]
    pub functions: Option<Vec<Function>>,
    #[serde(default)]
    pub function_call: Option<ToolChoice>,
    /// An extension that many servers know.
    #[serde(default)]
    pub top_k: Option<u32>,
    /// The form of `reasoning_effort` that other OpenAI-compatible servers take.
    #[serde(default)]
    pub reasoning: Option<ReasoningOptions>,
    #[serde(default)]
    pub prompt_cache_options: Option<PromptCacheOptions>,
    #[serde(default)]
    pub kb: Option<Kb>,
    #[serde(default)]
    pub bedrock: Option<BedrockOptions>,
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

impl ChatRequest {
    pub fn is_stream(&self) -> bool {
        self.stream == Some(true)
    }

    pub fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|o| o.include_usage == Some(true))
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
    #[serde(default)]
    pub include_obfuscation: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ReasoningOptions {
    #[serde(default)]
    pub effort: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct PromptCacheOptions {
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default)]
    pub ttl: Option<String>,
}

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
    /// Of `file_search`: names of knowledge bases, and how to search them.
    #[serde(default)]
    pub vector_store_ids: Option<Vec<String>>,
    #[serde(default)]
    pub max_num_results: Option<u32>,
    #[serde(default)]
    pub ranking_options: Option<RankingOptions>,
    #[serde(default, alias = "filter")]
    pub filters: Option<Box<RawValue>>,
    /// Another API's form of the same: refused, because a filter may stand in it.
    #[serde(default)]
    pub file_search: Option<Box<RawValue>>,
}

/// A tool whose input is text and not JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct CustomTool {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// Text, or a grammar; kept as the client wrote it.
    #[serde(default)]
    pub format: Option<Box<RawValue>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// A JSON schema, kept as the client wrote it.
    #[serde(default)]
    pub parameters: Option<Box<RawValue>>,
    #[serde(default)]
    pub strict: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ResponseFormat {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub json_schema: Option<JsonSchema>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct JsonSchema {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// Kept as the client wrote it; absent: any object.
    #[serde(default)]
    pub schema: Option<Box<RawValue>>,
    #[serde(default)]
    pub strict: Option<bool>,
}

/// `stop`: a string, or up to four.
#[derive(Clone, Debug)]
pub struct Stop(pub Vec<String>);

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Stop;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E>(self, text: &str) -> Result<Stop, E> {
                Ok(Stop(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Stop, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Stop(list))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
