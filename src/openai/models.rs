//! `GET /v1/models`, <https://platform.openai.com/docs/api-reference/models>.

use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    pub object: &'static str,
    pub data: Vec<ModelObject<'a>>,
}

/// OpenAI's four members, then lintel's extensions.
#[derive(Debug, Serialize)]
pub struct ModelObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// Unix seconds; the time at which this gateway started, because Bedrock gives none.
    pub created: u64,
    pub owned_by: &'a str,
    /// The Bedrock model id or inference profile id behind the name; left out where it is an ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// The configured name that an alias stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// Tasks that the operator recommends the model for.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub use_cases: &'a [String],
    /// The output cap, in tokens, of a request that sets none.
    pub default_max_tokens: u32,
    /// Input and output together, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// The most that it can write, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// `text`, `image`, `file`, `video`, `audio`.
    pub input_modalities: Vec<&'static str>,
    pub tools: bool,
    /// Searches the web by itself where it is asked to.
    pub web_search: bool,
    pub reasoning: bool,
    /// US dollars per million tokens; left out where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    pub lifecycle: Lifecycle<'a>,
}

/// Decimal numbers, exactly.
#[derive(Debug, Serialize)]
pub struct Price {
    pub input: Box<RawValue>,
    pub output: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Box<RawValue>>,
    /// What the whole call costs once its input is longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
}

#[derive(Debug, Serialize)]
pub struct LongContext {
    pub above_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
}

/// Dates are `YYYY-MM-DD`.
#[derive(Debug, Serialize)]
pub struct Lifecycle<'a> {
    /// `active`, `legacy` or `eol`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eol: Option<&'a str>,
    /// The Bedrock id to use instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<&'a str>,
}
