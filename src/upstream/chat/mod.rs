//! Sends chats to Bedrock, on every route: one request per choice, whole or streamed.

mod choices;
pub(in crate::upstream) mod decoder;
mod event_stream;

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::task::TaskTracker;

use super::{
    Attempt, Codec, Exchange, Request, Subject, Try, Upstream, collected, converse, invoke,
    messages, native, refused_betas,
};
use crate::{
    call::{Call, Delivery, Route, Ticket},
    error::Error,
    operation::chat::{Chat, ChatReply, Chunk},
};
pub use decoder::{Decoder, StreamDecoder, WholeAnswer};
use event_stream::EventStream;

/// Cap on the body of a whole reply, in bytes; larger than any reply of the service.
const MAX_REPLY_BYTES: usize = 64 << 20;

impl Exchange for Chat {
    type Decoder = Arc<dyn Decoder>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Converse => Some(&converse::Converse),
            Route::Invoke => Some(&invoke::chat::Chats),
            Route::Chat => Some(&native::Native::Runtime),
            Route::MantleChat => Some(&native::Native::Mantle),
            Route::Responses => Some(&native::Native::Responses),
            Route::MantleResponses => Some(&native::Native::MantleResponses),
            Route::Messages => Some(&messages::Messages(native::Native::Runtime)),
            Route::MantleMessages => Some(&messages::Messages(native::Native::Mantle)),
            _ => None,
        }
    }

    fn without_betas(call: &Call<Self>, error: &Error) -> Option<(Call<Self>, Vec<String>)> {
        refused_betas::reduced(call, error)
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<ChatReply, Error> {
        let trace = &call.trace;
        if call.plan.delivery == Delivery::Stream {
            let open = requests
                .into_iter()
                .map(|request| stream(upstream, call, request));
            // Like whole replies: the streams that began are billed, so a failure does not cancel them.
            let (streams, failures) = partitioned(join_all(open).await);
            if let Some(failure) = failures.into_iter().next() {
                join_all(streams.into_iter().map(EventStream::drain)).await;
                return Err(failure);
            }
            return Ok(ChatReply::Stream(choices::stream(streams, trace)));
        }
        let answers = requests
            .into_iter()
            .map(|request| whole(upstream, call, request));
        // Requests in flight are billed anyway, so a failure does not cancel its siblings.
        let answers = join_all(answers)
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        Ok(match call.plan.delivery {
            Delivery::Replayed => ChatReply::Stream(choices::replayed(answers, trace)),
            Delivery::Whole | Delivery::Stream => ChatReply::Whole(choices::whole(answers, trace)),
        })
    }
}

fn partitioned<R>(results: Vec<Result<R, Error>>) -> (Vec<R>, Vec<Error>) {
    let (mut replies, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(reply) => replies.push(reply),
            Err(failure) => failures.push(failure),
        }
    }
    (replies, failures)
}

/// Opens the stream of one answer and waits for its first chunk.
async fn stream(
    upstream: &Upstream,
    call: &Call<Chat>,
    (request, decoder): (Request, Arc<dyn Decoder>),
) -> Result<EventStream, Error> {
    let attempt = |request, decoder| StreamAttempt {
        call,
        request,
        decoder,
        tasks: &upstream.tasks,
    };
    let (mut stream, ticket) = attempted(upstream, call, request, decoder, attempt).await?;
    stream.set_ticket(ticket);
    Ok(stream)
}

/// Gets one whole answer. Requests a second answer if the first does not match its schema and the
/// operator allows repairs.
async fn whole(
    upstream: &Upstream,
    call: &Call<Chat>,
    (request, decoder): (Request, Arc<dyn Decoder>),
) -> Result<WholeAnswer, Error> {
    let answer = send_whole(upstream, call, request.clone(), decoder.clone()).await?;
    let Some(repair) = decoder.repair(&request, &answer)? else {
        return Ok(answer);
    };
    let mut second = match send_whole(upstream, call, repair, decoder.clone()).await {
        Ok(second) => second,
        Err(error) => {
            // The first answer is more useful to the client than the error, so the error becomes a warning.
            decoder.repaired(Err(error.label()));
            return Ok(answer);
        }
    };
    decoder.repaired(Ok(&second));
    // Both requests are billed.
    if let (Some(first), Some(Chunk::Usage(last))) = (answer.usage(), second.chunks.back_mut()) {
        *last = first + *last;
    }
    Ok(second)
}

async fn send_whole(
    upstream: &Upstream,
    call: &Call<Chat>,
    request: Request,
    decoder: Arc<dyn Decoder>,
) -> Result<WholeAnswer, Error> {
    let attempt = |request, decoder| WholeAttempt {
        call,
        request,
        decoder,
    };
    let (answer, ticket) = attempted(upstream, call, request, decoder, attempt).await?;
    if let Some(usage) = answer.usage() {
        ticket.used(usage);
    }
    Ok(answer)
}

/// Sends `request` in the attempts that `attempt` makes. If the endpoint refuses an optional member, sends it once more
/// without that member, and remembers the refusal if that helps.
async fn attempted<A: Attempt>(
    upstream: &Upstream,
    call: &Call<Chat>,
    request: Request,
    decoder: Arc<dyn Decoder>,
    attempt: impl Fn(Request, Arc<dyn Decoder>) -> A + Send + Sync,
) -> Result<A::Output, Error> {
    let (attempts, subject) = (&upstream.attempts, Subject::of(call));
    let operation = request.operation;
    let reduced = upstream.refusals.without_known(call, request);
    let (request, decoder) = (reduced.request.clone(), reduced.decoder(decoder));
    let first = attempts.run(
        subject,
        operation,
        attempt(request.clone(), decoder.clone()),
    );
    let error = match first.await {
        Ok(output) => return Ok(output),
        Err(error) => error,
    };
    let Some((member, reduced)) = upstream.refusals.reduced(call, &request, &error) else {
        return Err(error);
    };
    let decoder = reduced.decoder(decoder);
    let second = attempts.run(subject, operation, attempt(reduced.request, decoder));
    let output = second.await?;
    upstream.refusals.learn(call, operation, member);
    Ok(output)
}

/// An attempt to open a stream.
struct StreamAttempt<'a> {
    call: &'a Call<Chat>,
    request: Request,
    decoder: Arc<dyn Decoder>,
    tasks: &'a TaskTracker,
}

impl Attempt for StreamAttempt<'_> {
    type Output = (EventStream, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            let decoder = self.decoder.stream(reply.headers());
            let idle = self.call.trace.shortened(self.call.model.timeouts.idle);
            EventStream::open(reply.into_body(), decoder, idle, self.tasks.clone()).await
        })
        .await
    }
}

/// An attempt to get a whole answer.
struct WholeAttempt<'a> {
    call: &'a Call<Chat>,
    request: Request,
    decoder: Arc<dyn Decoder>,
}

impl Attempt for WholeAttempt<'_> {
    type Output = (WholeAnswer, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        let (answer, ticket) = send
            .billed(async {
                let reply = send.send_model(self.request.clone()).await?;
                let (parts, body) = reply.into_parts();
                let body = collected(body, MAX_REPLY_BYTES).await?;
                self.decoder.whole(&parts.headers, &body)
            })
            .await?;
        if let Some(arn) = &answer.invoked_model {
            self.call.trace.set_invoked(arn.clone());
        }
        Ok((answer, ticket))
    }
}
