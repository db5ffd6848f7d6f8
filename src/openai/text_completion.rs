//! `POST /v1/completions`, OpenAI's legacy API, <https://platform.openai.com/docs/api-reference/completions>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    capped,
    chat::{MAX_BIASES, StreamOptions},
    extension::BedrockOptions,
    stop::Stop,
    texts::Texts,
    usage::Usage,
};

/// Maximum number of prompts; OpenAI's limit on `n`.
pub const MAX_PROMPTS: usize = 128;

/// The request. `None` means absent or null, which OpenAI treats alike.
#[derive(Clone, Debug, Deserialize)]
pub struct CompletionRequest {
    pub model: String,
    pub prompt: Texts<MAX_PROMPTS>,
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
    #[serde(default, deserialize_with = "capped::optional_map::<_, _, MAX_BIASES>")]
    pub logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    pub frequency_penalty: Option<f64>,
    #[serde(default)]
    pub presence_penalty: Option<f64>,
    #[serde(default)]
    pub seed: Option<i64>,
    #[serde(default)]
    pub user: Option<String>,
    /// An extension that many OpenAI-compatible servers support.
    #[serde(default)]
    pub top_k: Option<u32>,
    /// An extension: options that are specific to Bedrock.
    #[serde(default)]
    pub bedrock: Option<BedrockOptions>,
    /// An extension: the maximum cost of the call, in US dollars.
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

/// The `text_completion` object, which is a whole reply or a chunk.
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
    /// An extension in the last chunk: what was dropped, lowered or repaired.
    #[serde(rename = "x_lintel_warnings", skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
}

/// One of the completions.
#[derive(Debug, Serialize)]
pub struct TextChoice<'a> {
    pub text: &'a str,
    pub index: u32,
    /// Always null: required by OpenAI's schema, but Bedrock returns no log probabilities.
    pub logprobs: Option<()>,
    pub finish_reason: Option<&'static str>,
}
