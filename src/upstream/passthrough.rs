//! Sends requests of AWS SDKs on, and reads no more of the replies than the usage.

mod codec;
pub(super) mod count;
mod guard_content;
pub(super) mod meter;

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use http::HeaderMap;

use super::{
    Attempt, Codec, Exchange, Request, Subject, Try, Upstream, collected,
    frame_stream::FrameStream, invoke::malformed, relocation::Relocation,
};
use crate::{
    call::{Call, Route, Ticket},
    error::Error,
    operation::passthrough::{Passthrough, PassthroughReply, Piece, PieceStream, WholePassthrough},
};
use codec::Unchanged;
use meter::Meter;

/// Cap on the body of a whole reply, in bytes; larger than any reply of the service.
const MAX_REPLY_BYTES: usize = 64 << 20;

impl Exchange for Passthrough {
    type Decoder = Arc<Meter>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Converse | Route::Invoke => Some(&Unchanged),
            _ => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<PassthroughReply, Error> {
        let Some((request, meter)) = requests.into_iter().next() else {
            return Err(malformed("no request was made"));
        };
        let (subject, operation) = (Subject::of(call), request.operation);
        let elsewhere = &Relocation::of(call);
        if !call.body.stream {
            let attempt = WholeAttempt {
                request,
                meter,
                elsewhere,
            };
            let (reply, ticket) = upstream.attempts.run(subject, operation, attempt).await?;
            // Without usage, the request counts as lost.
            if let Some(usage) = reply.usage {
                ticket.used(usage);
            }
            let usage = reply.usage.map(|usage| call.trace.spending().told(usage));
            return Ok(PassthroughReply::Whole(WholePassthrough { usage, ..reply }));
        }
        let attempt = StreamAttempt {
            call,
            request,
            meter,
            upstream,
            elsewhere,
        };
        let (mut open, ticket) = upstream.attempts.run(subject, operation, attempt).await?;
        open.rest.set_ticket(ticket, &open.first);
        let rest = stream::unfold(open.rest, |mut frames| async move {
            frames.next().await.map(|item| (item, frames))
        });
        let pieces = stream::iter([Ok(open.first)]).chain(rest);
        Ok(PassthroughReply::Stream(PieceStream::new(
            open.headers,
            pieces,
            call.trace.clone(),
        )))
    }
}

/// An attempt to get a whole reply.
struct WholeAttempt<'a> {
    request: Request,
    meter: Arc<Meter>,
    elsewhere: &'a Relocation<'a, Passthrough>,
}

impl Attempt for WholeAttempt<'_> {
    type Output = (WholePassthrough, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            let (parts, body) = reply.into_parts();
            let body = collected(body, MAX_REPLY_BYTES).await?;
            Ok(WholePassthrough {
                usage: Some(self.meter.whole(&parts.headers, &body)?),
                headers: parts.headers,
                body: self.meter.shown(&body).unwrap_or(body),
            })
        })
        .await
    }

    async fn relocate(&mut self, place: usize) -> Result<(), Error> {
        (_, self.request, self.meter) = self.elsewhere.request(place, 0).await?;
        Ok(())
    }
}

/// A stream whose first frame has arrived.
struct OpenStream {
    headers: HeaderMap,
    first: Piece,
    rest: FrameStream,
}

/// An attempt to open a stream.
struct StreamAttempt<'a> {
    call: &'a Call<Passthrough>,
    request: Request,
    meter: Arc<Meter>,
    upstream: &'a Upstream,
    elsewhere: &'a Relocation<'a, Passthrough>,
}

impl Attempt for StreamAttempt<'_> {
    type Output = (OpenStream, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            let (parts, body) = reply.into_parts();
            let idle = self.call.trace.shortened(self.call.model.timeouts.idle);
            let tasks = self.upstream.tasks.clone();
            let reply = (&parts.headers, body);
            let mut rest = FrameStream::new(reply, self.meter.clone(), idle, tasks);
            let first = rest.first().await?;
            Ok(OpenStream {
                headers: parts.headers,
                first,
                rest,
            })
        })
        .await
    }

    async fn relocate(&mut self, place: usize) -> Result<(), Error> {
        (_, self.request, self.meter) = self.elsewhere.request(place, 0).await?;
        Ok(())
    }
}
