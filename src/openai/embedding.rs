//! `POST /v1/embeddings`, <https://platform.openai.com/docs/api-reference/embeddings>.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::texts::Texts;

/// Maximum number of inputs of one request; OpenAI's limit.
pub const MAX_INPUTS: usize = 2048;

/// The request. `None` means absent or null, which OpenAI treats alike.
#[derive(Clone, Debug, Deserialize)]
pub struct EmbeddingRequest {
    pub model: String,
    pub input: Texts<MAX_INPUTS>,
    #[serde(default)]
    pub dimensions: Option<u32>,
    /// `float` or `base64`.
    #[serde(default)]
    pub encoding_format: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    /// An extension: the purpose of the vectors, for models that distinguish queries from documents.
    #[serde(default)]
    pub input_type: Option<String>,
    /// An extension: the maximum cost of the call, in US dollars.
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

/// The reply, one vector per input.
#[derive(Debug, Serialize)]
pub struct EmbeddingList<'a> {
    pub object: &'static str,
    pub data: Vec<Embedding<'a>>,
    pub model: &'a str,
    pub usage: EmbeddingUsage,
}

/// The vector of one input.
#[derive(Debug, Serialize)]
pub struct Embedding<'a> {
    pub object: &'static str,
    pub index: usize,
    pub embedding: Vector<'a>,
}

/// A vector in the `encoding_format` of the request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Vector<'a> {
    Float(&'a [f32]),
    /// Little-endian 32-bit floats.
    Base64(String),
}

/// The usage of all inputs together.
#[derive(Debug, Serialize)]
pub struct EmbeddingUsage {
    pub prompt_tokens: u64,
    pub total_tokens: u64,
    /// An extension: the number of images in the input, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// An extension: the exact cost in US dollars. Absent if no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
    /// An extension: true if Bedrock reported no usage and the gateway estimated it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}
