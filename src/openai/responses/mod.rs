//! OpenAI's Responses API, <https://platform.openai.com/docs/api-reference/responses>: the request, its items, the reply,
//! and the events of a stream. In what is read, null is the same as absent.

mod event;
mod item;
mod reply;
mod request;
pub mod served;

pub use event::Event;
pub use item::{
    Content, CustomToolCall, FunctionCall, InputItem, InputPart, OutputItem, OutputMessage,
    OutputPart, ReasoningItem, ReasoningText,
};
pub use reply::{IncompleteDetails, InputDetails, OutputDetails, Response, Usage};
pub use request::{
    CustomTool, ENCRYPTED_REASONING, FunctionTool, NamespaceTool, Reasoning, Request, TextConfig,
    TextFormat, Tool, ToolChoice,
};

use serde::{Deserialize, Deserializer};

/// Reads null as the default, for `deserialize_with`.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
