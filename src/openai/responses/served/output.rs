//! The items of the output.

use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// An item of the output.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem {
    Reasoning {
        id: String,
        summary: Vec<SummaryPart>,
        /// What a later request sends back, so that the model continues from its reasoning.
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
    },
    Message {
        id: String,
        status: Status,
        role: &'static str,
        content: Vec<OutputPart>,
    },
    FunctionCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// JSON text, as the model generated it.
        arguments: String,
    },
    CustomToolCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Plain text.
        input: String,
    },
    ToolSearchCall {
        id: String,
        status: Status,
        call_id: String,
        execution: &'static str,
        /// An object.
        arguments: Box<RawValue>,
    },
    FileSearchCall {
        id: String,
        status: Status,
        queries: Vec<String>,
        /// Null unless the request includes them.
        results: Option<Vec<Value>>,
    },
    WebSearchCall {
        id: String,
        status: Status,
        action: Value,
    },
    ImageGenerationCall {
        id: String,
        status: Status,
        /// Base64.
        result: String,
    },
    /// The sealed summary of a conversation.
    Compaction {
        id: String,
        encrypted_content: String,
    },
}

impl OutputItem {
    /// Returns the id of the item.
    pub fn id(&self) -> &str {
        match self {
            Self::Reasoning { id, .. }
            | Self::Message { id, .. }
            | Self::FunctionCall { id, .. }
            | Self::CustomToolCall { id, .. }
            | Self::ToolSearchCall { id, .. }
            | Self::FileSearchCall { id, .. }
            | Self::WebSearchCall { id, .. }
            | Self::ImageGenerationCall { id, .. }
            | Self::Compaction { id, .. } => id,
        }
    }
}

/// The state of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// A part of a reasoning summary.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SummaryPart {
    SummaryText { text: String },
}

/// A part of a message.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputPart {
    OutputText {
        text: String,
        annotations: Vec<Annotation>,
        /// Always empty: Bedrock returns no log probabilities.
        logprobs: [(); 0],
    },
}

/// A source of a text. Indices count Unicode code points.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Annotation {
    UrlCitation {
        start_index: usize,
        end_index: usize,
        url: String,
        title: String,
        /// An extension: the citation as Bedrock returned it.
        #[serde(skip_serializing_if = "Option::is_none")]
        bedrock_citation: Option<Value>,
    },
    FileCitation {
        /// The source of the passage.
        file_id: String,
        filename: String,
        /// The position of the end of the cited text.
        index: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        bedrock_citation: Option<Value>,
    },
}
