//! `GET /v1/models` for clients that send `anthropic-version`, <https://platform.claude.com/docs/en/api/models/list>.

use serde::Serialize;

/// The reply of `GET /v1/models`.
#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    pub data: Vec<ModelInfo<'a>>,
    pub has_more: bool,
    pub first_id: Option<&'a str>,
    pub last_id: Option<&'a str>,
}

/// A model.
#[derive(Debug, Serialize)]
pub struct ModelInfo<'a> {
    /// Always `model`.
    pub r#type: &'static str,
    pub id: &'a str,
    pub display_name: &'a str,
    /// The time at which the gateway started, in RFC 3339, because Bedrock reports no creation time.
    pub created_at: String,
    /// The context window, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// The maximum output, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// `active`, `legacy` or `eol`.
    pub lifecycle: &'static str,
}
