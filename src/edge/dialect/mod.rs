//! Dialects: how HTTP speaks an operation. A dialect parses a body into the operation, and writes
//! replies, stream events and errors in its own words.

mod chat_completions;
mod chat_events;
mod completions;
mod embeddings;

use std::task::{Context, Poll};

use axum::http::HeaderMap;
use bytes::BytesMut;
use ulid::Ulid;

pub use chat_completions::{ChatCompletions, ChatWriter, assistant_message, chat_request};
pub use chat_events::EventWriter;
pub use completions::Completions;
pub use embeddings::Embeddings;

use super::rescue;
use crate::{
    call::{Caller, Trace, Warnings},
    dispatch::Dispatched,
    error::Error,
    knowledge::KnowledgeBases,
    operation::Operation,
};

/// One way in which HTTP speaks an operation.
pub trait Dialect: Send + Sync + 'static {
    type Operation: Dispatched;
    /// What the writing of the reply needs of the request.
    type View: Send + 'static;

    /// The route's label in metrics and the log.
    const ROUTE: &'static str;

    /// The member that holds what the model reads.
    const INPUT: &'static str;

    /// Parses and checks a request.
    ///
    /// # Errors
    /// A 4xx with the member at fault. Nothing was sent anywhere.
    fn parse(request: &Incoming<'_>) -> Result<Parsed<Self>, Error>;

    /// Writes a reply.
    ///
    /// # Errors
    /// If the reply cannot be written, which is a fault of the gateway.
    fn reply(
        reply: <Self::Operation as Operation>::Reply,
        view: Self::View,
        cx: ReplyContext<'_>,
    ) -> Result<Outgoing, Error>;

    /// Writes the body of an error.
    fn error(error: &Error) -> Vec<u8> {
        rescue::envelope(error)
    }
}

/// A request whose body has arrived.
pub struct Incoming<'a> {
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub caller: &'a Caller,
    pub knowledge_bases: &'a KnowledgeBases,
    pub warnings: &'a Warnings,
}

/// What a request asks.
pub struct Parsed<D: Dialect + ?Sized> {
    pub operation: D::Operation,
    /// The model's name as the client wrote it.
    pub model: String,
    /// Who uses the application, if the client says so.
    pub end_user: Option<String>,
    pub view: D::View,
}

/// What a reply is written with.
#[derive(Clone, Copy)]
pub struct ReplyContext<'a> {
    /// The request's id, from which the reply's is made.
    pub id: Ulid,
    /// Unix seconds.
    pub created: u64,
    pub trace: &'a Trace,
}

/// A reply in its dialect.
pub enum Outgoing {
    Whole(Vec<u8>),
    Events(Box<dyn EventSource>),
}

/// A reply that is written event by event.
pub trait EventSource: Send {
    /// Waits for the next step of the reply and writes its events. `None`: the reply is complete,
    /// and its end was written.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>>;

    /// Writes the one error event of a stream that broke. Nothing may follow it.
    fn fail(&mut self, error: &Error);

    /// Ends the reply early, because the gateway shuts down.
    fn cut(&mut self);

    /// What was written and not yet taken.
    fn written(&mut self) -> &mut BytesMut;
}
