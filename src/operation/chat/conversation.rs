//! Conversations: the form of a chat between dialects and codecs. Messages and their parts are in the order in which
//! the client sent them.

use std::{fmt, ops::Range};

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

/// The role of a message. Tool results are user messages.
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

/// The path of a message in the request, for errors and warnings: `messages[3]`.
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
    /// The gateway's own text, not the user's.
    Retrieved(RetrievedText),
    Image(Media<MediaUrl>),
    Video(Media<MediaUrl>),
    Audio(Media<InputAudio>),
    File(Media<File>),
    SearchResult(Media<SearchResult>),
    Thinking(Thinking),
    /// Encrypted reasoning.
    RedactedThinking(RedactedThinking),
    ToolUse(ToolUse),
    ToolResult(ToolResult),
    /// A tool that a search of the client's has found.
    ToolReference(ToolReference),
    /// A call of a tool that AWS runs, or its result.
    ServerTool(ServerToolBlock),
    /// Marks the end of a prefix to cache.
    CachePoint(CacheControl),
}

/// Passages of Knowledge Bases, and the gateway's instruction around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetrievedText {
    pub text: String,
    /// The bytes of `text` that are passages.
    pub passages: Range<usize>,
    /// The text of each passage, as it was found.
    pub sources: Vec<String>,
}

/// Content other than text.
#[derive(Clone, Debug)]
pub struct Media<T> {
    pub value: T,
    /// The path of the part in the request, for errors.
    pub at: String,
}

/// Reasoning as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    pub text: String,
    /// The model's signature. Reasoning without one is not sent back to a model that signs.
    pub signature: Option<String>,
}

/// Encrypted reasoning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedactedThinking {
    /// The encrypted bytes, as Base64.
    pub data: String,
}

/// A call of one of the client's tools.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolUse {
    pub id: String,
    pub name: String,
    pub input: ToolInput,
}

/// The input of a tool call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolInput {
    /// JSON text as the model wrote it, which is not always valid.
    Arguments(String),
    /// The plain text input of a custom tool.
    Text(String),
}

/// The text that begins the result of a call that failed, on routes that have no member for that.
pub const TOOL_FAILED: &str = "The tool call failed.\n";

/// The result of a call of one of the client's tools.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// Text and media.
    pub content: Vec<Part>,
    pub is_error: bool,
}

/// A reference to a tool of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolReference {
    pub name: String,
    /// What a model is told that knows no references.
    pub text: String,
}

/// The start of the mark by which the gateway knows the model of a signature.
const MARK: &str = "lintel.";

/// Returns a signature without the mark of its model, as the service sent it.
pub fn unmarked(signature: &str) -> &str {
    let marked = signature.strip_prefix(MARK);
    let own = marked.and_then(|rest| rest.split_once('.'));
    own.map_or(signature, |(_, own)| own)
}

impl Part {
    /// Returns the text of a text part.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the id of a tool call.
    pub fn call_id(&self) -> Option<String> {
        match self {
            Self::ToolUse(call) => Some(call.id.clone()),
            _ => None,
        }
    }

    /// Reports whether the part is reasoning.
    pub fn is_thinking(&self) -> bool {
        matches!(self, Self::Thinking(_) | Self::RedactedThinking(_))
    }
}

impl Message {
    /// Returns the text parts of the message, joined by newlines, or `None` if they are blank.
    pub fn text(&self) -> Option<String> {
        let text = self
            .parts
            .iter()
            .filter_map(Part::as_text)
            .collect::<Vec<_>>()
            .join("\n");
        (!text.trim().is_empty()).then_some(text)
    }

    /// Returns the number of parts, with those inside tool results counted twice, because guarded ones are sent twice.
    pub fn texts(&self) -> u64 {
        let parts = self.parts.iter().map(|part| match part {
            Part::ToolResult(result) => 1 + 2 * result.content.len() as u64,
            _ => 1,
        });
        parts.sum()
    }

    /// Iterates over the calls of the client's tools, in order.
    pub fn tool_uses(&self) -> impl Iterator<Item = &ToolUse> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolUse(call) => Some(call),
            _ => None,
        })
    }
}
