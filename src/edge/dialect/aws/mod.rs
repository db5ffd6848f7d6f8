//! Bedrock's own operations, for AWS SDKs whose endpoint is the gateway: `POST /model/{id}/converse`, `/converse-stream`,
//! `/invoke` and `/invoke-with-response-stream`.

mod exception;
mod names;
mod parse;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures_util::Stream;

use exception::exception;
pub use names::{message, name_and_status};
pub use parse::{converse as sdk_converse_request, invoke as sdk_invoke_request};

use super::{Dialect, EventSource, Incoming, Media, Outgoing, ParsedRequest, ReplyContext};
use crate::{
    edge::labels,
    error::Error,
    operation::passthrough::{Passthrough, PassthroughReply, PieceStream},
};

/// The dialect of one operation: InvokeModel or Converse, streamed or whole.
pub struct AwsSdk<const INVOKE: bool, const STREAM: bool>;

impl<const INVOKE: bool, const STREAM: bool> Dialect for AwsSdk<INVOKE, STREAM> {
    type Operation = Passthrough;
    type View = ();
    const ROUTE: &'static str = match (INVOKE, STREAM) {
        (false, false) => labels::CONVERSE,
        (false, true) => labels::CONVERSE_STREAM,
        (true, false) => labels::INVOKE,
        (true, true) => labels::INVOKE_STREAM,
    };
    const INPUT: &'static str = if INVOKE { "body" } else { "messages" };
    const MEDIA: Media = Media::Any;
    const IS_SSE: bool = false;

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let operation = match INVOKE {
            true => parse::invoke(request.body, request.headers, STREAM),
            false => parse::converse(request.body, request.warnings, STREAM),
        }?;
        Ok(ParsedRequest {
            operation,
            model: parse::model_id(request.path)?,
            end_user: None,
            view: (),
        })
    }

    fn reply(reply: PassthroughReply, (): (), _: ReplyContext<'_>) -> Result<Outgoing, Error> {
        Ok(match reply {
            PassthroughReply::Whole(reply) => Outgoing::Raw(shown(&reply.headers), reply.body),
            PassthroughReply::Stream(stream) => {
                let headers = shown(&stream.headers);
                let source = Frames {
                    is_invoke: INVOKE,
                    stream,
                    written: BytesMut::new(),
                };
                Outgoing::RawEvents(headers, Box::new(source))
            }
        })
    }
}

/// Returns the headers of a reply that clients may see.
fn shown(headers: &HeaderMap) -> HeaderMap {
    let is_shown = |name: &str| {
        name == header::CONTENT_TYPE.as_str()
            || name == "x-amzn-requestid"
            || name.starts_with("x-amzn-bedrock-")
    };
    let own = headers.iter().filter(|(name, _)| is_shown(name.as_str()));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The frames of a stream, as Bedrock sent them.
struct Frames {
    /// They are those of InvokeModelWithResponseStream.
    is_invoke: bool,
    stream: PieceStream,
    written: BytesMut,
}

impl EventSource for Frames {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(piece)) => {
                self.written.extend_from_slice(&piece.bytes);
                Some(Ok(()))
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    fn fail(&mut self, error: &Error) {
        let name = names::in_stream(error, self.is_invoke);
        self.written
            .extend_from_slice(&exception(name, &message(error)));
    }

    fn cut(&mut self) {
        self.stream.cut();
    }

    fn written(&mut self) -> &mut BytesMut {
        &mut self.written
    }

    /// The format has nothing that clients ignore.
    fn heartbeat(&mut self) {}
}
