//! The events of a streamed message, <https://platform.claude.com/docs/en/build-with-claude/streaming>.

use serde::Serialize;
use serde_json::Value;

use super::reply::{ContentBlock, Extensions, Message, StopReason, Usage};

/// An event. Its name is its `type`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    MessageStart {
        message: Message<'a>,
    },
    Ping,
    ContentBlockStart {
        index: u32,
        content_block: ContentBlock,
    },
    ContentBlockDelta {
        index: u32,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: u32,
    },
    MessageDelta {
        delta: MessageEnd<'a>,
        usage: Usage,
        #[serde(flatten)]
        extensions: Extensions<'a>,
    },
    MessageStop,
}

impl Event<'_> {
    /// Returns the name of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

/// More of the open content block.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta<'a> {
    TextDelta { text: &'a str },
    CitationsDelta { citation: Value },
    ThinkingDelta { thinking: &'a str },
    SignatureDelta { signature: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

/// How the message ended.
#[derive(Debug, Serialize)]
pub struct MessageEnd<'a> {
    pub stop_reason: StopReason,
    pub stop_sequence: Option<&'a str>,
    /// Why the model refused, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_details: Option<&'a Value>,
}
