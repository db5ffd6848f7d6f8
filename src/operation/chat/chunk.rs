//! The steps of an answer.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use serde_json::Value;

use crate::{
    error::Error,
    money::Usage,
    openai::completion::{Annotation, CustomCall, FinishReason, Image, ThinkingBlock},
};

/// A chunk of one choice.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceChunk {
    /// The index of the choice, from 0.
    pub choice: u32,
    pub chunk: Chunk,
}

/// A piece of a reply. There is none for the role, which is always `assistant`.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    Content(String),
    /// Content, with the citations that end in it.
    CitedContent(String, Vec<Annotation>),
    ReasoningContent(String),
    /// A complete block of reasoning, as the model signed it; after its `ReasoningContent`.
    Thinking(ThinkingBlock),
    Annotations(Vec<Annotation>),
    /// The log probabilities of tokens of the content: JSON texts of OpenAI's entries, separated by commas.
    Logprobs(String),
    Image(Image),
    /// `index` counts tool calls, not content blocks.
    ToolCall {
        index: u32,
        id: Arc<str>,
        name: Arc<str>,
    },
    ToolArguments {
        index: u32,
        fragment: String,
    },
    /// No more arguments follow. Absent if the limit on the output cut the call off.
    ToolCallEnd {
        index: u32,
    },
    CustomToolStart {
        index: u32,
        id: Arc<str>,
        name: Arc<str>,
    },
    /// A piece of the input of a custom tool, which is text.
    CustomToolInput {
        index: u32,
        fragment: String,
    },
    /// The end of a custom tool call, with all of its input. Absent if the limit on the output left it no input.
    CustomToolCall {
        index: u32,
        id: Arc<str>,
        call: CustomCall,
        /// The answer ended inside the input.
        is_cut: bool,
    },
    /// The legacy form of `ToolCall`.
    FunctionCall(Arc<str>),
    FunctionArguments(String),
    /// A stop sequence ended the answer, if known this one; before `Finish`.
    StopSequence(Option<String>),
    /// Why the model refused, as the service reports it; before `Finish`.
    StopDetails(Value),
    /// The answer ended because the context window is full; before `Finish`.
    WindowExceeded,
    /// The model answered nothing, because a guardrail or a filter intervened. Text of the answer is the message of a
    /// guardrail; before `Finish`.
    Blocked,
    /// A call of a tool that AWS runs, or its result, as a content block of Converse.
    ServerTool(Value),
    Finish(FinishReason),
    /// The guardrail trace; after `Finish`.
    Guardrail(Value),
    /// The usage of all choices together; once, after every `Finish`.
    Usage(Usage),
}

impl Chunk {
    /// The approximate number of bytes of output in the chunk.
    pub fn weight(&self) -> usize {
        match self {
            Self::Content(text)
            | Self::CitedContent(text, _)
            | Self::ReasoningContent(text)
            | Self::FunctionArguments(text) => text.len(),
            Self::ToolArguments { fragment, .. } | Self::CustomToolInput { fragment, .. } => {
                fragment.len()
            }
            _ => 0,
        }
    }

    /// Reports whether the chunk is reasoning.
    pub fn is_reasoning(&self) -> bool {
        matches!(self, Self::ReasoningContent(_) | Self::Thinking(_))
    }
}

/// A boxed stream of chunks.
pub type BoxChunks = Pin<Box<dyn Stream<Item = Result<ChoiceChunk, Error>> + Send>>;
