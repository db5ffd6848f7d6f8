//! `POST /v1/rerank`, in the form of Cohere and Jina: <https://docs.cohere.com/v1/reference/rerank>,
//! <https://jina.ai/reranker>.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::capped;

/// Maximum number of documents of one request; Bedrock's limit.
pub const MAX_DOCUMENTS: usize = 1000;

/// The request. `None` means absent or null.
#[derive(Deserialize)]
pub struct RerankRequest {
    pub model: String,
    pub query: String,
    #[serde(deserialize_with = "capped::list::<_, _, MAX_DOCUMENTS>")]
    pub documents: Vec<Document>,
    #[serde(default)]
    pub top_n: Option<usize>,
    #[serde(default)]
    pub return_documents: Option<bool>,
    /// An extension: the end user.
    #[serde(default)]
    pub user: Option<String>,
    /// An extension: the maximum cost of the call, in US dollars.
    #[serde(default)]
    pub max_cost_usd: Option<Box<RawValue>>,
}

/// A document: a string, or an object with a text.
pub struct Document(pub String);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            text: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Document;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an object with 'text'")
            }
            fn visit_str<E>(self, text: &str) -> Result<Document, E> {
                Ok(Document(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
                let Fields { text } = Fields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Document(text))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The reply.
#[derive(Debug, Serialize)]
pub struct RerankList<'a> {
    pub id: String,
    pub object: &'static str,
    pub model: &'a str,
    /// The most relevant first.
    pub results: Vec<RerankResult<'a>>,
    /// Cohere's form of the usage.
    pub meta: RerankMeta,
    /// Jina's form of the usage.
    pub usage: RerankUsage,
}

/// A document and its relevance.
#[derive(Debug, Serialize)]
pub struct RerankResult<'a> {
    /// The position of the document in the request.
    pub index: usize,
    pub relevance_score: f64,
    /// The document, with `return_documents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RerankDocument<'a>>,
}

#[derive(Debug, Serialize)]
pub struct RerankDocument<'a> {
    pub text: &'a str,
}

#[derive(Debug, Serialize)]
pub struct RerankMeta {
    pub api_version: ApiVersion,
    pub billed_units: BilledUnits,
}

#[derive(Debug, Serialize)]
pub struct ApiVersion {
    pub version: &'static str,
}

#[derive(Debug, Serialize)]
pub struct BilledUnits {
    /// The queries that are billed: one for up to 100 chunks of documents.
    pub search_units: u64,
}

/// The usage. Bedrock reports none: tokens are counted as four bytes each.
#[derive(Debug, Serialize)]
pub struct RerankUsage {
    pub prompt_tokens: u64,
    pub total_tokens: u64,
    /// An extension: the cost in US dollars. Absent if no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Box<RawValue>>,
    /// An extension: the gateway counted the usage.
    pub estimated: bool,
}
