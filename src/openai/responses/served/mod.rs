//! The Responses API as the gateway serves it: what clients send, and what they receive. Items and tools are raw JSON until
//! their type is known, because clients send types that this version does not have.

mod event;
mod item;
mod output;
mod request;
mod response;
mod tool;

pub use event::{EventBody, StreamError, StreamErrorBody};
pub use item::{
    CallOutput, Compaction, ConfigurationUpdate, Content, ContentPart, CustomCall, FileSearch,
    FunctionCall, ItemReference, Kind, MessageItem, ReasoningItem, SearchCall, ToolList,
};
pub use output::{Annotation, OutputItem, OutputPart, Status, SummaryPart};
pub use request::{
    Input, MAX_ITEMS, MAX_TOOLS, ReasoningOptions, Request, StreamOptions, TextFormat, TextOptions,
};
pub use response::{
    CompactedResponse, Failure, InputDetails, OutputDetails, Reason, ReasoningSettings,
    ResponseObject, Settings, Usage,
};
pub use tool::{AllowedTool, Choice, Tool};
