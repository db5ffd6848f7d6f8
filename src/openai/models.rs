//! `GET /v1/models`, <https://platform.openai.com/docs/api-reference/models>.

use serde::Serialize;
use serde_json::value::RawValue;

/// The reply of `GET /v1/models`.
#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    pub object: &'static str,
    pub data: Vec<ModelObject<'a>>,
}

/// A model. The first four members are OpenAI's, the others are extensions.
#[derive(Debug, Serialize)]
pub struct ModelObject<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// The time at which the gateway started, in Unix seconds, because Bedrock reports no creation time.
    pub created: u64,
    pub owned_by: &'a str,
    /// The Bedrock model ID or inference profile ID behind the name. Absent if it is an ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// For an alias, the configured name of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// Use cases for which the operator recommends the model.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub use_cases: &'a [String],
    /// The maximum output of a request that sets no limit, in tokens. Absent for models without output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u32>,
    /// The maximum of input and output together, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// The maximum output of the model, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// What the model is for: `chat`, `embedding`, `rerank`, `image` and others.
    pub modality: &'a str,
    /// Any of `text`, `image`, `file`, `video` and `audio`, or what AWS lists.
    pub input_modalities: Vec<&'a str>,
    /// `text`, `embedding`, `image` …
    pub output_modalities: Vec<&'a str>,
    /// The APIs of Bedrock through which the gateway reaches the model.
    pub routes: Vec<&'static str>,
    /// The geography of the inference profile behind the name, such as `us` or `global`. Absent for other targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<&'a str>,
    /// The ID of the foundation model, if it is in the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<&'a str>,
    /// The name in the list of AWS. Absent for configured models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The list of AWS that names the model: `foundation_model`, `inference_profile`, `application_profile`,
    /// `provisioned`, `imported` or `custom_deployment`. Absent for configured models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    /// The sizes of the vectors of an embedding model, with the default first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_dimensions: Option<&'a [u32]>,
    pub tools: bool,
    /// True if the model supports the tool `web_search`.
    pub web_search: bool,
    pub reasoning: bool,
    /// The price in US dollars per million tokens. Absent if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    pub lifecycle: Lifecycle<'a>,
}

/// A price in US dollars per million tokens, as exact decimal numbers.
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
    /// The price of one query of a reranking model, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Box<RawValue>>,
    /// The price of one image that the model makes, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_image: Option<Box<RawValue>>,
    /// Prices of calls with longer inputs. They apply to the whole call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
}

/// The price of calls with more than `above_input_tokens` of input.
#[derive(Debug, Serialize)]
pub struct LongContext {
    pub above_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
}

/// The lifecycle of a model. Dates are `YYYY-MM-DD`.
#[derive(Debug, Serialize)]
pub struct Lifecycle<'a> {
    /// `active`, `legacy` or `eol`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eol: Option<&'a str>,
    /// The Bedrock ID of the recommended replacement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<&'a str>,
}
