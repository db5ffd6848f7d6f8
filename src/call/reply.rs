//! What comes back from a call, and the one way to learn how it ended.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use serde_json::Value;

use super::Usage;
use crate::{
    error::Error,
    openai::completion::{
        Annotation, AssistantMessage, CustomCall, FinishReason, Image, ThinkingBlock,
    },
};

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// All of it was handed over.
    Complete,
    /// It broke after it had begun; the text is its bounded label.
    Failed(&'static str),
    /// The client left before the end.
    ClientGone,
    /// The client left before the end, and the gateway has read on for the sake of the usage.
    Drained,
}

impl How {
    /// The bounded `how` label of `lintel_stream_end_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::Drained => "drained",
            Self::Failed(label) => label,
        }
    }
}

/// What is known once a reply has ended.
#[derive(Clone, Debug)]
pub struct Ending {
    pub how: How,
    /// `None` when the end came before the service told its count.
    pub usage: Option<Usage>,
    pub finish_reason: Option<FinishReason>,
}

/// A reply whose end can be watched.
pub trait Ends: Sized {
    /// Calls `f` exactly once: at once for a whole reply; for a stream when it ends, fails or is dropped. `f` may run
    /// inside a `Drop`: it must be quick and must not panic.
    fn on_end(self, f: impl FnOnce(&Ending) + Send + 'static) -> Self;
}

/// The reply to a chat completion.
#[derive(Debug)]
pub enum ChatReply {
    Whole(WholeReply),
    Stream(ChunkStream),
}

impl Ends for ChatReply {
    fn on_end(self, f: impl FnOnce(&Ending) + Send + 'static) -> Self {
        match self {
            Self::Whole(reply) => {
                let finish_reason = reply.choices.first().map(|choice| choice.finish_reason);
                f(&Ending {
                    how: How::Complete,
                    usage: Some(reply.usage),
                    finish_reason,
                });
                Self::Whole(reply)
            }
            Self::Stream(mut stream) => {
                stream.endings.push(Box::new(f));
                Self::Stream(stream)
            }
        }
    }
}

/// All answers, complete.
#[derive(Debug)]
pub struct WholeReply {
    pub choices: Vec<WholeChoice>,
    pub usage: Usage,
    /// What the guardrail saw, where the client may know.
    pub guardrail: Option<Value>,
    /// The model that a prompt router picked.
    pub invoked_model: Option<String>,
}

/// One answer.
#[derive(Debug)]
pub struct WholeChoice {
    pub message: AssistantMessage,
    pub finish_reason: FinishReason,
}

/// One step of one streamed answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceChunk {
    /// Which of the `n` answers, from 0.
    pub choice: u32,
    pub chunk: Chunk,
}

/// A step. The role needs none: it is always the assistant's.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    Content(String),
    /// Content, and the citations that end in it.
    CitedContent(String, Vec<Annotation>),
    ReasoningContent(String),
    /// All of a block of reasoning, as the model signed it; after its `ReasoningContent`.
    Thinking(ThinkingBlock),
    Annotations(Vec<Annotation>),
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
    CustomToolCall {
        index: u32,
        id: Arc<str>,
        call: CustomCall,
    },
    /// The legacy form of `ToolCall`.
    FunctionCall(Arc<str>),
    FunctionArguments(String),
    /// The stop sequence that the model met; before `Finish`.
    StopSequence(String),
    /// A call, or its result, of a tool that AWS runs itself, in Converse's words.
    ServerTool(Value),
    Finish(FinishReason),
    /// What the guardrail saw; after `Finish`.
    Guardrail(Value),
    /// After every `Finish`, once, for all choices together.
    Usage(Usage),
}

impl Chunk {
    /// About how many bytes of the answer it holds.
    pub fn weight(&self) -> usize {
        match self {
            Self::Content(text)
            | Self::CitedContent(text, _)
            | Self::ReasoningContent(text)
            | Self::FunctionArguments(text) => text.len(),
            Self::ToolArguments { fragment, .. } => fragment.len(),
            Self::CustomToolCall { call, .. } => call.input.len(),
            _ => 0,
        }
    }
}

type Callback = Box<dyn FnOnce(&Ending) + Send>;

/// A streamed answer. An error is its last item.
pub struct ChunkStream {
    inner: Pin<Box<dyn Stream<Item = Result<ChoiceChunk, Error>> + Send>>,
    endings: Vec<Callback>,
    usage: Option<Usage>,
    finish_reason: Option<FinishReason>,
    /// Nobody reads any more but the gateway.
    drained: bool,
}

impl ChunkStream {
    pub fn new(inner: impl Stream<Item = Result<ChoiceChunk, Error>> + Send + 'static) -> Self {
        Self {
            inner: Box::pin(inner),
            endings: Vec::new(),
            usage: None,
            finish_reason: None,
            drained: false,
        }
    }

    /// The gateway itself ends the stream early; drop it next.
    pub fn cut(&mut self) {
        self.end(How::Failed("cut"));
    }

    /// The client has left; what comes now is only read to learn what it costs.
    pub fn drain(&mut self) {
        self.drained = true;
    }

    fn end(&mut self, how: How) {
        // What it holds tells its cost when it goes, and the callbacks want to know that.
        self.inner = Box::pin(futures_util::stream::empty());
        let how = if self.drained && how == How::Complete {
            How::Drained
        } else {
            how
        };
        let ending = Ending {
            how,
            usage: self.usage,
            finish_reason: self.finish_reason,
        };
        // Innermost first: a step sees the end after every step that it wraps.
        for callback in std::mem::take(&mut self.endings) {
            callback(&ending);
        }
    }
}

impl Stream for ChunkStream {
    type Item = Result<ChoiceChunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = std::task::ready!(self.inner.as_mut().poll_next(cx));
        match &item {
            Some(Ok(ChoiceChunk {
                chunk: Chunk::Usage(usage),
                ..
            })) => self.usage = Some(*usage),
            Some(Ok(ChoiceChunk {
                chunk: Chunk::Finish(reason),
                ..
            })) => {
                self.finish_reason.get_or_insert(*reason);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let how = How::Failed(break_label(error));
                self.end(how);
            }
            None => self.end(How::Complete),
        }
        Poll::Ready(item)
    }
}

/// How a stream broke, as one of a fixed list.
fn break_label(error: &Error) -> &'static str {
    match error.code() {
        Some("upstream_truncated") => "truncated",
        Some("upstream_checksum") => "crc",
        Some("upstream_idle") => "idle",
        _ => "upstream_error",
    }
}

impl Drop for ChunkStream {
    fn drop(&mut self) {
        self.end(How::ClientGone);
    }
}

impl fmt::Debug for ChunkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::error::Kind;

    type Seen = Arc<Mutex<Vec<Ending>>>;

    fn watched(items: Vec<Result<Chunk, Error>>) -> (ChunkStream, Seen) {
        let items: Vec<_> = items
            .into_iter()
            .map(|item| item.map(|chunk| ChoiceChunk { choice: 0, chunk }))
            .collect();
        let seen = Seen::default();
        let sink = seen.clone();
        let reply = ChatReply::Stream(ChunkStream::new(stream::iter(items)))
            .on_end(move |ending| sink.lock().unwrap().push(ending.clone()));
        let ChatReply::Stream(stream) = reply else {
            unreachable!("a stream stays a stream")
        };
        (stream, seen)
    }

    fn usage() -> Usage {
        Usage {
            input: 3,
            output: 2,
            ..Usage::default()
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_fires_once() {
        let chunks = vec![
            Ok(Chunk::Content("a".into())),
            Ok(Chunk::Finish(FinishReason::Stop)),
            Ok(Chunk::Usage(usage())),
        ];
        let (stream, seen) = watched(chunks);
        assert_eq!(stream.count().await, 3);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].how, How::Complete);
        assert_eq!(seen[0].usage, Some(usage()));
        assert_eq!(seen[0].finish_reason, Some(FinishReason::Stop));
    }

    #[tokio::test]
    async fn a_stream_that_fails_fires_once() {
        let broken = Error::new(Kind::Upstream, "cut").with_code("upstream_truncated");
        let (stream, seen) = watched(vec![Ok(Chunk::Content("a".into())), Err(broken)]);
        assert_eq!(stream.count().await, 2);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].how, How::Failed("truncated"));
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_fires_once() {
        let (mut stream, seen) = watched(vec![
            Ok(Chunk::Content("a".into())),
            Ok(Chunk::Content("b".into())),
        ]);
        assert!(stream.next().await.is_some());
        drop(stream);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].how, How::ClientGone);
        assert_eq!(seen[0].usage, None);
    }

    #[test]
    fn a_whole_reply_fires_at_once() {
        let seen = Seen::default();
        let sink = seen.clone();
        let choices = vec![WholeChoice {
            message: AssistantMessage::default(),
            finish_reason: FinishReason::Stop,
        }];
        let whole = WholeReply {
            choices,
            usage: usage(),
            guardrail: None,
            invoked_model: None,
        };
        let _reply =
            ChatReply::Whole(whole).on_end(move |ending| sink.lock().unwrap().push(ending.clone()));
        assert_eq!(seen.lock().unwrap()[0].usage, Some(usage()));
    }
}
