//! HTTP dialects of the operations. A dialect parses a request body into an operation, and writes its replies, stream
//! events and errors in the format of one API.

mod aws;
mod chat_completions;
mod chat_events;
mod completions;
mod count_tokens;
mod embeddings;
mod images;
mod messages;
mod moderations;
mod rerank;
mod responses;

use std::task::{Context, Poll};

use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use ulid::Ulid;

pub use aws::{AwsSdk, name_and_status, sdk_converse_request};
pub use chat_completions::{ChatCompletions, ChatWriter, assistant_message, chat_request};
pub use chat_events::EventWriter;
pub use completions::{Completions, completion_request};
pub use count_tokens::CountTokens;
pub use embeddings::{Embeddings, embedding_request};
pub use images::{ImageEdits, ImageGenerations};
pub use messages::{Messages, MessagesCountTokens, messages_request};
pub use moderations::Moderations;
pub use rerank::{Reranking, rerank_request};
pub use responses::{Compactions, InputTokens, Responses, responses_request};

pub use super::body::Media;
use super::{rescue, seal::Seals};
use crate::{
    call::{Caller, Trace, Warnings},
    dispatch::{Dispatchable, Models},
    error::Error,
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

    /// The media type of requests.
    const MEDIA: Media = Media::Json;

    /// Streams are server-sent events, which may begin with a comment.
    const IS_SSE: bool = true;

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

    /// Returns the name of the model by which the gateway knows the one that the client names.
    fn model_name(name: String, _models: &Models, _caller: &Caller) -> String {
        name
    }

    /// Changes what an error tells the client about another attempt, where clients of this API would misunderstand it.
    fn adapt(error: Error) -> Error {
        error
    }
}

/// A request whose body has been read.
pub struct Incoming<'a> {
    /// The path, with its escapes.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub caller: &'a Caller,
    pub knowledge_bases: &'a KnowledgeBases,
    /// Opens what earlier replies sealed for the client.
    pub seals: &'a Seals,
    pub warnings: &'a Warnings,
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
