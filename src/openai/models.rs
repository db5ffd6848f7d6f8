//! `GET /v1/models`, <https://platform.openai.com/docs/api-reference/models>.

use serde::Serialize;

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
}
