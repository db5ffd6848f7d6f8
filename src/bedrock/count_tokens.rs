//! The body of `POST /model/{modelId}/count-tokens`, and its reply.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    content::Message,
    request::{ConverseRequest, SystemContentBlock, ToolConfig},
};

/// The body of a CountTokens request.
#[derive(Debug, Serialize)]
pub struct CountTokensRequest<'a> {
    pub input: CountTokensInput<'a>,
}

/// The request whose tokens are counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CountTokensInput<'a> {
    Converse(ConverseTokensRequest<'a>),
}

/// The members of a Converse request that become input of the model.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseTokensRequest<'a> {
    pub messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemContentBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub additional_model_request_fields: Map<String, Value>,
}

impl<'a> From<ConverseRequest<'a>> for ConverseTokensRequest<'a> {
    fn from(request: ConverseRequest<'a>) -> Self {
        Self {
            messages: request.messages,
            system: request.system,
            tool_config: request.tool_config,
            additional_model_request_fields: request.additional_model_request_fields,
        }
    }
}

/// The reply of CountTokens.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountTokensReply {
    pub input_tokens: u64,
}
