//! A conversation with its content in order: the one form in which a chat exists between dialects
//! and codecs. Whatever a dialect calls these things, they keep the order in which they were given.

use std::fmt;

use crate::openai::message::{
    CacheControl, File, InputAudio, MediaUrl, SearchResult, ServerToolBlock,
};

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    pub role: Role,
    /// The participant's name, if the client gives one.
    pub name: Option<String>,
    pub parts: Vec<Part>,
    pub origin: Origin,
}

/// Whose message it is. Results of tools belong to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Where the client wrote a message, for errors and warnings: `messages[3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub list: &'static str,
    pub index: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.index)
    }
}

/// One piece of content.
#[derive(Clone, Debug)]
pub enum Part {
    Text(String),
    Image(Media<MediaUrl>),
    Video(Media<MediaUrl>),
    Audio(Media<InputAudio>),
    File(Media<File>),
    SearchResult(Media<SearchResult>),
    Thinking(Thinking),
    /// Reasoning that only the model can read, as Base64.
    RedactedThinking(RedactedThinking),
    ToolUse(ToolUse),
    ToolResult(ToolResult),
    /// A call of a tool that AWS runs itself, or its result.
    ServerTool(ServerToolBlock),
    /// The prompt up to here is to be cached.
    CachePoint(CacheControl),
}

/// Content that is not text.
#[derive(Clone, Debug)]
pub struct Media<T> {
    pub value: T,
    /// The path of the part in the request, for errors.
    pub at: String,
}

/// Reasoning in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    pub text: String,
    /// Without the model's signature, reasoning is not sent back.
    pub signature: Option<String>,
    /// The gateway put it back; the client did not send it.
    pub restored: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedactedThinking {
    pub data: String,
    pub restored: bool,
}

/// A call of one of the client's tools.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolUse {
    pub id: String,
    pub name: String,
    pub input: ToolInput,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ToolInput {
    /// JSON text, as the model wrote it: not always valid.
    Arguments(String),
    /// The input of a custom tool, which is plain text.
    Text(String),
}

/// The result of a call of one of the client's tools.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// Text and media.
    pub content: Vec<Part>,
    pub is_error: bool,
}

impl Part {
    /// The text of a text part.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The id of a tool call.
    pub fn call_id(&self) -> Option<String> {
        match self {
            Self::ToolUse(call) => Some(call.id.clone()),
            _ => None,
        }
    }

    pub fn is_thinking(&self) -> bool {
        matches!(self, Self::Thinking(_) | Self::RedactedThinking(_))
    }
}

impl Message {
    /// All text of the message, or `None` if there is none.
    pub fn text(&self) -> Option<String> {
        let text = self
            .parts
            .iter()
            .filter_map(Part::as_text)
            .collect::<Vec<_>>()
            .join("\n");
        (!text.trim().is_empty()).then_some(text)
    }

    /// Calls of the client's tools, in order.
    pub fn tool_uses(&self) -> impl Iterator<Item = &ToolUse> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolUse(call) => Some(call),
            _ => None,
        })
    }
}
