//! Bedrock's own operations, for AWS SDKs whose endpoint is the gateway: `POST /model/{id}/converse`, `/converse-stream`,
//! `/invoke` and `/invoke-with-response-stream`.

mod exception;
mod parse;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use futures_util::Stream;

use exception::exception;
pub use parse::converse as sdk_converse_request;

use super::{Dialect, EventSource, Incoming, Media, Outgoing, ParsedRequest, ReplyContext};
use crate::{
    edge::labels,
    error::{Error, Kind},
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
            true => parse::invoke(request, STREAM),
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
        let (name, _) = name_and_status(error.kind());
        self.written
            .extend_from_slice(&exception(name, error.message()));
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

/// Returns the name and the status of an error in Bedrock's service model.
pub fn name_and_status(kind: Kind) -> (&'static str, StatusCode) {
    match kind {
        Kind::InvalidRequest => ("ValidationException", StatusCode::BAD_REQUEST),
        Kind::MethodNotAllowed => ("ValidationException", StatusCode::METHOD_NOT_ALLOWED),
        Kind::TooLarge => ("ValidationException", StatusCode::PAYLOAD_TOO_LARGE),
        Kind::HeadTooLarge => (
            "ValidationException",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        Kind::UnsupportedMediaType => ("ValidationException", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Kind::RequestTimeout => ("ValidationException", StatusCode::REQUEST_TIMEOUT),
        Kind::Unauthenticated => ("UnrecognizedClientException", StatusCode::FORBIDDEN),
        Kind::PermissionDenied => ("AccessDeniedException", StatusCode::FORBIDDEN),
        Kind::NotFound => ("ResourceNotFoundException", StatusCode::NOT_FOUND),
        Kind::Conflict => ("ConflictException", StatusCode::BAD_REQUEST),
        // SDKs do not repeat it, because the budget stays spent.
        Kind::BudgetSpent | Kind::UpstreamQuota => {
            ("ServiceQuotaExceededException", StatusCode::BAD_REQUEST)
        }
        Kind::RateLimited | Kind::BudgetBusy | Kind::UpstreamThrottle => {
            ("ThrottlingException", StatusCode::TOO_MANY_REQUESTS)
        }
        Kind::UpstreamUnavailable | Kind::Overloaded | Kind::LedgerUnavailable => (
            "ServiceUnavailableException",
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        Kind::UpstreamTimeout => ("ModelTimeoutException", StatusCode::REQUEST_TIMEOUT),
        Kind::Upstream | Kind::Internal => {
            ("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
