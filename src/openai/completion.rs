//! The replies of `POST /v1/chat/completions`: the `chat.completion` object and the pieces of its chunks,
//! <https://platform.openai.com/docs/api-reference/chat/object>.

use serde::Serialize;
use serde_json::Value;

use super::{delta::Indexed, knowledge_base::KbReply};

/// A whole reply.
#[derive(Debug, Serialize)]
pub struct ChatCompletion<'a> {
    pub id: &'a str,
    pub object: &'static str,
    /// Unix seconds.
    pub created: u64,
    pub model: &'a str,
    pub choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
    pub usage: super::usage::Usage,
    /// An extension: what the guardrail saw, where operators let clients see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock_guardrail: Option<&'a Value>,
    /// An extension: where the answer comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kb: Option<KbReply<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Choice<'a> {
    pub index: u32,
    pub message: &'a AssistantMessage,
    /// Required by OpenAI's schema; Bedrock gives none.
    pub logprobs: Option<()>,
    pub finish_reason: FinishReason,
}

/// The assistant's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AssistantMessage {
    pub role: AssistantRole,
    /// Null only where there are tool calls and no text.
    pub content: Option<String>,
    pub refusal: Option<String>,
    /// An extension that many clients read: the model's visible thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// An extension: the same as the model signed it, to be sent back with the history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thinking_blocks: Vec<ThinkingBlock>,
    /// An extension: the same in OpenRouter's form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasoning_details: Vec<Indexed<ReasoningDetail>>,
    /// An extension: what tools that AWS runs itself were asked and found, to be sent back with the history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_tool_blocks: Vec<Value>,
    /// An extension: the stop sequence that ended the answer, where the model tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequence: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// An extension: images that the model made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The answer to the legacy `functions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall>,
}

/// Reasoning that the model signed or encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThinkingBlock {
    Thinking {
        thinking: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// `data` is Base64.
    RedactedThinking { data: String },
}

/// An entry of `reasoning_details`, <https://openrouter.ai/docs/use-cases/reasoning-tokens>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum ReasoningDetail {
    #[serde(rename = "reasoning.text")]
    Text {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    #[serde(rename = "reasoning.encrypted")]
    Encrypted { data: String },
}

impl From<&ThinkingBlock> for ReasoningDetail {
    fn from(block: &ThinkingBlock) -> Self {
        match block {
            ThinkingBlock::Thinking {
                thinking,
                signature,
            } => Self::Text {
                text: thinking.clone(),
                signature: signature.clone(),
            },
            ThinkingBlock::RedactedThinking { data } => Self::Encrypted { data: data.clone() },
        }
    }
}

/// A source of the text between two positions, which count Unicode code points; the end is exclusive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Annotation {
    UrlCitation {
        url_citation: UrlCitation,
        /// An extension: what Bedrock said of the source.
        #[serde(skip_serializing_if = "Option::is_none")]
        bedrock_citation: Option<Value>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UrlCitation {
    pub start_index: usize,
    pub end_index: usize,
    pub url: String,
    pub title: String,
}

/// `url` is a data URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Image {
    ImageUrl { image_url: ImageUrl },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageUrl {
    pub url: String,
}

/// Always `"assistant"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AssistantRole {
    #[default]
    Assistant,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    pub id: String,
    #[serde(flatten)]
    pub kind: ToolCallKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToolCallKind {
    Function { function: FunctionCall },
    Custom { custom: CustomCall },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionCall {
    pub name: String,
    /// JSON text, as the model wrote it.
    pub arguments: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CustomCall {
    pub name: String,
    pub input: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Stop,
    Length,
    ToolCalls,
    /// The legacy form of `tool_calls`.
    FunctionCall,
    ContentFilter,
}

impl FinishReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::FunctionCall => "function_call",
            Self::ContentFilter => "content_filter",
        }
    }
}
