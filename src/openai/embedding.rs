//! `POST /v1/embeddings`, <https://platform.openai.com/docs/api-reference/embeddings>.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::texts::Texts;

/// The request. `None` is "absent or null", which OpenAI treats alike.
#[derive(Clone, Debug, Deserialize)]
pub struct EmbeddingRequest {
    pub model: String,
    pub input: Texts,
    #[serde(default)]
    pub dimensions: Option<u32>,
    /// `float` or `base64`.
    #[serde(default)]
    pub encoding_format: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    /// An extension: what the vectors are for.
    #[serde(default)]
    pub input_type: Option<String>,
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

/// The reply.
#[derive(Debug, Serialize)]
pub struct EmbeddingList<'a> {
    pub object: &'static str,
    pub data: Vec<Embedding<'a>>,
    pub model: &'a str,
    pub usage: EmbeddingUsage,
}

#[derive(Debug, Serialize)]
pub struct Embedding<'a> {
    pub object: &'static str,
    pub index: usize,
    pub embedding: Vector<'a>,
}

/// A vector in the form that the client asked for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Vector<'a> {
    Float(&'a [f32]),
    /// Little-endian 32-bit floats.
    Base64(String),
}

/// Tokens of all inputs.
#[derive(Debug, Serialize)]
pub struct EmbeddingUsage {
    pub prompt_tokens: u64,
    pub total_tokens: u64,
    /// An extension: images of the input, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// An extension: US dollars, an exact decimal number; absent if no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
    /// An extension: the service reported no usage, so the gateway counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}
