//! The events of a stream.

use serde::Deserialize;

use super::{OutputItem, Response};

/// An event. `output_index` is the position of its item in the output.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// An item begins. Its content follows.
    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: u32, item: OutputItem },
    /// An item ends, and is complete.
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: u32, item: OutputItem },
    #[serde(rename = "response.output_text.delta")]
    Text { output_index: u32, delta: String },
    #[serde(rename = "response.refusal.delta")]
    Refusal { output_index: u32, delta: String },
    #[serde(rename = "response.reasoning_summary_text.delta")]
    SummaryText {
        output_index: u32,
        #[serde(default)]
        summary_index: u32,
        delta: String,
    },
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningText {
        output_index: u32,
        #[serde(default)]
        content_index: u32,
        delta: String,
    },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments { output_index: u32, delta: String },
    #[serde(rename = "response.custom_tool_call_input.delta")]
    CustomInput { output_index: u32, delta: String },
    /// The last event.
    #[serde(
        rename = "response.completed",
        alias = "response.incomplete",
        alias = "response.failed",
        alias = "response.cancelled"
    )]
    End { response: Box<Response> },
    /// An error instead of the rest. Its members are those of an error.
    #[serde(rename = "error")]
    Error,
    /// Any other. What it adds is in the events above too.
    #[serde(other)]
    Other,
}
