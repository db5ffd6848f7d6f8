//! `POST /v1/completions`, <https://platform.openai.com/docs/api-reference/completions>: the API
//! before there were chats.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    chat::{Stop, StreamOptions},
    extension::BedrockOptions,
    texts::Texts,
    usage::Usage,
};

/// The request. `None` is "absent or null", which OpenAI treats alike.
#[derive(Clone, Debug, Deserialize)]
pub struct CompletionRequest {
    pub model: String,
    pub prompt: Texts,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
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
    #[serde(default)]
    pub best_of: Option<u32>,
    #[serde(default)]
    pub echo: Option<bool>,
    #[serde(default)]
    pub suffix: Option<String>,
    #[serde(default)]
    pub logprobs: Option<u32>,
    #[serde(default)]
    pub logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    pub frequency_penalty: Option<f64>,
    #[serde(default)]
    pub presence_penalty: Option<f64>,
    #[serde(default)]
    pub seed: Option<i64>,
    #[serde(default)]
    pub user: Option<String>,
    /// An extension that many servers know.
    #[serde(default)]
    pub top_k: Option<u32>,
    #[serde(default)]
    pub bedrock: Option<BedrockOptions>,
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

/// The `text_completion` object, whole or as a chunk.
#[derive(Debug, Serialize)]
pub struct TextCompletion<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// Unix seconds.
    pub created: u64,
    pub model: &'a str,
    pub choices: Vec<TextChoice<'a>>,
    /// `Some(None)` is `null`, which stands in all chunks but the last if usage was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
}

#[derive(Debug, Serialize)]
pub struct TextChoice<'a> {
    pub text: &'a str,
    pub index: u32,
    /// Required by OpenAI's schema; Bedrock gives none.
    pub logprobs: Option<()>,
    pub finish_reason: Option<&'static str>,
}
