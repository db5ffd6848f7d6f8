//! HTTP dialects of the operations. A dialect parses a request body into an operation, and writes its replies, stream
//! events and errors in the format of one API.

mod aws;
mod block_order;
mod chat_completions;
mod chat_events;
mod completions;
mod count_tokens;
mod embeddings;
mod images;
mod messages;
mod moderations;
mod paths;
mod rerank;
mod responses;

use std::task::{Context, Poll};

use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use ulid::Ulid;

pub use aws::{
    AwsSdk, message as aws_message, name_and_status, sdk_converse_request, sdk_invoke_request,
};
pub use chat_completions::{ChatCompletions, ChatWriter, assistant_message, chat_request};
pub use chat_events::EventWriter;
pub use completions::{Completions, completion_request};
pub use count_tokens::CountTokens;
pub use embeddings::{Embeddings, embedding_request};
pub use images::{ImageEdits, ImageGenerations};
pub use messages::{Messages, MessagesCountTokens, messages_request};
pub use moderations::Moderations;
pub use rerank::{Reranking, rerank_request};
pub use responses::{
    Compactions, InputTokens, Responses, StoredContent, responses_request, unavailable,
};

pub use super::body::Media;
use super::{
    receive::{BodyPermit, Room},
    rescue,
    seal::Seals,
};
use crate::{
    call::{Caller, Trace, Warnings},
    dispatch::{Dispatchable, Models},
    error::Error,
    governance,
    knowledge::KnowledgeBases,
    model::Model,
    operation::Operation,
};

/// An SSE comment, which clients ignore.
pub const HEARTBEAT: &[u8] = b": keep-alive\n\n";

/// An HTTP API for an operation.
pub trait Dialect: Send + Sync + 'static {
    /// The operation that requests are parsed into.
    type Operation: Dispatchable;
    /// The parts of the request that are needed to write the reply.
    type View: Send + 'static;

    /// The label of the route in metrics and the log.
    const ROUTE: &'static str;

    /// The request member that holds the model's input.
    const INPUT: &'static str;

    /// How the API names the members that chat completions name otherwise.
    const PATHS: paths::Paths = paths::Paths {
        members: &[],
        parts: &[],
    };

    /// The media type of requests.
    const MEDIA: Media = Media::Json;

    /// Streams are server-sent events, which may begin with a comment.
    const IS_SSE: bool = true;

    /// Adds to the body of a request what the gateway has stored of its conversation.
    ///
    /// # Errors
    /// 4xx if it is not stored; 503 if the store cannot be read.
    fn recall(
        body: Bytes,
        _cx: RecallContext<'_>,
    ) -> impl Future<Output = Result<(Bytes, Recalled), Error>> + Send {
        std::future::ready(Ok((body, Recalled::default())))
    }

    /// Parses and validates a request, before anything is sent upstream.
    ///
    /// # Errors
    /// 4xx with the invalid member.
    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error>;

    /// Writes a reply.
    ///
    /// # Errors
    /// 500 if the reply cannot be serialized, which is a bug in the gateway.
    fn reply(
        reply: <Self::Operation as Operation>::Reply,
        view: Self::View,
        cx: ReplyContext<'_>,
    ) -> Result<Outgoing, Error>;

    /// Serializes the body of an error response.
    fn error(error: &Error) -> Vec<u8> {
        rescue::envelope(error)
    }

    /// Writes the event that ends a stream which failed before its first event.
    fn error_event(error: &Error) -> Vec<u8> {
        [b"data: ".as_slice(), &Self::error(error), b"\n\n"].concat()
    }

    /// Returns the other models that the client names, in its order, for the case that the first one fails. An empty list
    /// means that no other model is called.
    fn fallbacks(_view: &Self::View) -> Option<&[String]> {
        None
    }

    /// Returns the name of the model by which the gateway knows the one that the client names.
    fn model_name(name: String, _models: &Models, _caller: &Caller) -> String {
        name
    }

    /// Returns the client's path of a member that has another in chat completions.
    fn path(chat: &str) -> Option<String> {
        Self::PATHS.of(chat)
    }

    /// Returns a text of an error with the client's names of members, if they have others in chat completions.
    fn text(chat: &str) -> Option<String> {
        Self::PATHS.in_text(chat)
    }

    /// Returns the explanation of a warning with the client's names of members, if they have others in chat completions.
    fn explanation(chat: &str) -> Option<String> {
        Self::PATHS.in_warning(chat)
    }

    /// Changes what an error tells the client about another attempt, where clients of this API would misunderstand it.
    fn adapt(error: Error) -> Error {
        error
    }
}

/// What the operator rejects, although the gateway could answer without it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies {
    /// Reasoning that this gateway did not seal for the key.
    pub refuses_foreign_reasoning: bool,
    /// Tools that only OpenAI or Anthropic run.
    pub refuses_hosted_tools: bool,
}

/// Returns the error for reasoning that this gateway did not seal for the key. `at` is the path of its seal.
fn foreign_reasoning(at: String) -> Error {
    let text = "This gateway did not seal the reasoning for this key. Start a new session, or omit the reasoning.";
    Error::invalid(at, text).with_code("invalid_encrypted_content")
}

/// A request whose body has been read.
pub struct Incoming<'a> {
    /// The path, with its escapes.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub caller: &'a Caller,
    /// What was added to the body.
    pub recalled: &'a Recalled,
    /// Where the response may be stored.
    pub responses: Option<&'a governance::Responses>,
    pub knowledge_bases: &'a KnowledgeBases,
    /// Opens what earlier replies sealed for the client.
    pub seals: &'a Seals,
    pub policies: Policies,
    pub warnings: &'a Warnings,
}

/// What the stored part of a conversation is read with.
pub struct RecallContext<'a> {
    pub responses: &'a governance::Responses,
    pub caller: &'a Caller,
    pub trace: &'a Trace,
    pub room: &'a Room,
    /// The memory of the body, which grows with what is added.
    pub permit: &'a mut BodyPermit,
    /// Maximum size of the body with what is added, in bytes.
    pub max_body: usize,
}

/// The stored part of a conversation, which was added to the body of a request.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// The number of items before those of the client.
    pub items: usize,
    /// The response that the request continues.
    pub parent: Option<Parent>,
}

/// A response that a request continues.
#[derive(Clone, Debug)]
pub struct Parent {
    pub id: String,
    /// The number of responses of its chain.
    pub depth: u32,
}

/// The result of parsing a request.
pub struct ParsedRequest<D: Dialect + ?Sized> {
    pub operation: D::Operation,
    /// The name of the model, as the client wrote it.
    pub model: String,
    /// The end user of the client's application, if the request names one.
    pub end_user: Option<String>,
    /// The parts of the request that are needed to write the reply.
    pub view: D::View,
}

/// The call's properties that replies contain.
#[derive(Clone, Copy)]
pub struct ReplyContext<'a> {
    /// The ID of the request, which is part of the ID of the reply.
    pub id: Ulid,
    /// The creation time of the reply, in Unix seconds.
    pub created: u64,
    /// The model that served the call.
    pub model: &'a Model,
    pub trace: &'a Trace,
}

/// A reply in the format of a dialect.
pub enum Outgoing {
    /// A JSON body.
    Whole(Vec<u8>),
    /// Server-sent events.
    Events(Box<dyn EventSource>),
    /// A body with its headers.
    Raw(HeaderMap, Bytes),
    /// A stream of bytes with its headers.
    RawEvents(HeaderMap, Box<dyn EventSource>),
}

/// A reply that is written as a sequence of events.
pub trait EventSource: Send {
    /// Polls for the next chunk of the reply and writes its events. Returns `None` if the reply is complete and its end
    /// has been written.
    ///
    /// # Errors
    /// Any error of the call. No event is written for it; the caller then calls [`fail`](Self::fail).
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>>;

    /// Writes the error event that ends a failed reply. No event may follow it.
    fn fail(&mut self, error: &Error);

    /// Writes what keeps an idle stream alive, because proxies close idle connections and a model may reason for minutes.
    fn heartbeat(&mut self) {
        self.written().extend_from_slice(HEARTBEAT);
    }

    /// Cuts the call off, because the gateway shuts down.
    fn cut(&mut self);

    /// Returns the buffer of written events; the caller takes its content.
    fn written(&mut self) -> &mut BytesMut;
}
