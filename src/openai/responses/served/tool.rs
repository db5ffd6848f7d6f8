//! Tools and the tool choice. Functions are flat, unlike those of chat completions.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::MAX_TOOLS;
use crate::openai::{
    capped,
    knowledge_base::{MAX_BASES, RankingOptions},
};

/// A tool; `kind` determines which of the other members are set.
#[derive(Debug, Deserialize)]
pub struct Tool {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    /// A JSON schema, as the client wrote it.
    #[serde(default)]
    pub parameters: Option<Box<RawValue>>,
    #[serde(default)]
    pub strict: Option<bool>,
    /// The tool is offered only after a search has found it.
    #[serde(default)]
    pub defer_loading: Option<bool>,
    /// For `custom`: `text` or a grammar, as the client wrote it.
    #[serde(default)]
    pub format: Option<Box<RawValue>>,
    /// For `namespace`.
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_TOOLS>")]
    pub tools: Option<Vec<Box<RawValue>>>,
    /// For `tool_search`: `client` or `server`.
    #[serde(default)]
    pub execution: Option<String>,
    /// For `file_search`, like the three members after it.
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_BASES>")]
    pub vector_store_ids: Option<Vec<String>>,
    #[serde(default)]
    pub max_num_results: Option<u32>,
    #[serde(default)]
    pub ranking_options: Option<RankingOptions>,
    #[serde(default)]
    pub filters: Option<Box<RawValue>>,
}

/// `tool_choice` as an object.
#[derive(Debug, Deserialize)]
pub struct Choice {
    /// `function`, `custom`, `allowed_tools`, or the type of a tool that the service runs.
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub namespace: Option<String>,
    /// For `allowed_tools`, with `tools`.
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default, deserialize_with = "capped::optional_list::<_, _, MAX_TOOLS>")]
    pub tools: Option<Vec<AllowedTool>>,
}

/// One of `allowed_tools`.
#[derive(Debug, Deserialize)]
pub struct AllowedTool {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub namespace: Option<String>,
}
