//! The replies of `POST /v1/chat/completions`: the `chat.completion` object and the parts that it shares with chunks,
//! <https://platform.openai.com/docs/api-reference/chat/object>.

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::knowledge_base::KbReply;

/// The `chat.completion` object, a whole reply.
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
    /// An extension: the trace of the guardrail, if the operator exposes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock_guardrail: Option<&'a Value>,
    /// An extension: the retrieval that the answer is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kb: Option<KbReply<'a>>,
}

/// One of the `n` answers.
#[derive(Debug, Serialize)]
pub struct Choice<'a> {
    pub index: u32,
    pub message: &'a AssistantMessage,
    /// Null if they were not requested, because OpenAI's schema requires the member.
    pub logprobs: Option<Logprobs>,
    pub finish_reason: FinishReason,
}

/// The log probabilities of an answer, or of a part of it.
#[derive(Debug, Serialize)]
pub struct Logprobs {
    /// One entry per token.
    pub content: Box<RawValue>,
    /// Always null, because refusals are part of the content.
    pub refusal: Option<()>,
}

impl Logprobs {
    /// Returns the log probabilities for JSON texts of entries, separated by commas. `None` if there are none.
    pub fn of(entries: &str) -> Option<Self> {
        let content = RawValue::from_string(format!("[{entries}]")).ok()?;
        (!entries.is_empty()).then_some(Self {
            content,
            refusal: None,
        })
    }
}

/// The assistant's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AssistantMessage {
    pub role: AssistantRole,
    /// Null only if there are tool calls and no text.
    pub content: Option<String>,
    pub refusal: Option<String>,
    /// An extension that many clients support: the text of the model's reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// An extension: the reasoning with the model's signatures, for clients to send back with the history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thinking_blocks: Vec<ThinkingBlock>,
    /// An extension: the content of `thinking_blocks` in OpenRouter's format.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasoning_details: Vec<Indexed<ReasoningDetail>>,
    /// An extension: calls and results of tools that AWS runs, for clients to send back with the history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_tool_blocks: Vec<Value>,
    /// An extension: the stop sequence that ended the answer, if the model reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequence: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// An extension: images that the model generated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call of a legacy function.
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

/// A source of the text from `start_index` to `end_index`, exclusive; both count Unicode code points.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Annotation {
    UrlCitation {
        url_citation: UrlCitation,
        /// An extension: the citation as Bedrock returned it.
        #[serde(skip_serializing_if = "Option::is_none")]
        bedrock_citation: Option<Value>,
    },
}

/// The cited source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UrlCitation {
    pub start_index: usize,
    pub end_index: usize,
    pub url: String,
    pub title: String,
}

/// An image that the model generated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Image {
    ImageUrl { image_url: ImageUrl },
}

/// The data of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageUrl {
    /// A data URL.
    pub url: String,
}

/// The role of an answer; always `"assistant"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AssistantRole {
    #[default]
    Assistant,
}

/// A call of a tool by the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    pub id: String,
    #[serde(flatten)]
    pub kind: ToolCallKind,
}

/// The type of a tool call, with its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ToolCallKind {
    Function { function: FunctionCall },
    Custom { custom: CustomCall },
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionCall {
    pub name: String,
    /// JSON text, as the model generated it.
    pub arguments: String,
}

/// A call of a custom tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CustomCall {
    pub name: String,
    /// Plain text.
    pub input: String,
}

/// The reason why the model stopped.
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
    /// Returns the reason as it is written on the wire.
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

/// An entry of a list that is spread over several chunks. OpenAI's SDKs assemble such lists by `index`, and fail without
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Indexed<T> {
    /// The position of the entry in the whole list.
    pub index: u32,
    #[serde(flatten)]
    pub entry: T,
}
