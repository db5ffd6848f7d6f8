//! Sends chats to Bedrock, on every route: one request per choice, whole or streamed.

mod choices;
pub(in crate::upstream) mod decoder;
mod event_stream;
mod resume;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    Attempt, Codec, Exchange, Request, Subject, Try, Upstream, collected, converse, invoke,
    messages, native, refused_betas,
    relocation::{self, Relocation},
};
use crate::{
    call::{Call, Delivery, Route, Ticket},
    error::Error,
    operation::chat::{Chat, ChatReply, Chunk},
};
pub use decoder::{Decoder, StreamDecoder, WholeAnswer};
use event_stream::{EventStream, Idle};
use resume::Resume;

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
        log_caching(call);
        let trace = &call.trace;
        let elsewhere = &Relocation::of(call);
        let part = |index| Part {
            upstream,
            call,
            elsewhere,
            index,
            is_pinned: false,
            resumed_within: None,
        };
        let requests = requests.into_iter().enumerate();
        if call.plan.delivery == Delivery::Stream {
            let open = requests.map(|(index, request)| stream(part(index), request));
            // Like whole replies: the streams that began are billed, so a failure does not cancel them.
            let (streams, failures) = partitioned(join_all(open).await);
            if let Some(failure) = failures.into_iter().next() {
                join_all(streams.into_iter().map(EventStream::drain)).await;
                return Err(failure);
            }
            let resume = Resume::of(upstream, call);
            return Ok(ChatReply::Stream(choices::stream(streams, resume, trace)));
        }
        let answers = requests.map(|(index, request)| whole(part(index), request));
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

/// Logs who places cache points in the prompt.
fn log_caching(call: &Call<Chat>) {
    let (chat, model) = (&call.body, &call.model);
    let automatic = chat.caches_automatically(model, &call.caller);
    let cache = match (model.facts.cache.is_some(), automatic) {
        (false, _) => "unsupported",
        (true, true) => "automatic",
        (true, false) if chat.marks_cache() => "client",
        (true, false) => "none",
    };
    tracing::debug!(
        request_id = &*call.request_id,
        model = model.label(),
        cache,
        "who places the cache points of a prompt"
    );
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

/// One of the requests of a chat.
#[derive(Clone, Copy)]
struct Part<'a> {
    upstream: &'a Upstream,
    call: &'a Call<Chat>,
    elsewhere: &'a Relocation<'a, Chat>,
    index: usize,
    /// The request is for one place only.
    is_pinned: bool,
    /// The request continues an answer, and its first token may take so long.
    resumed_within: Option<Duration>,
}

impl Part<'_> {
    /// Returns the request and its decoder at another place, without the members that are known to be refused there.
    async fn at(self, place: usize) -> Result<(Request, Arc<dyn Decoder>), Error> {
        let (call, request, decoder) = self.elsewhere.request(place, self.index).await?;
        let reduced = self.upstream.refusals.without_known(&call, request);
        let decoder = reduced.decoder(decoder);
        Ok((reduced.request, decoder))
    }
}

/// Opens the stream of one answer and waits for its first chunk.
async fn stream(
    part: Part<'_>,
    (request, decoder): (Request, Arc<dyn Decoder>),
) -> Result<EventStream, Error> {
    let attempt = |request, decoder| StreamAttempt {
        part,
        request,
        decoder,
    };
    let (mut stream, ticket) = attempted(part, request, decoder, attempt).await?;
    stream.set_ticket(ticket);
    Ok(stream)
}

/// Gets one whole answer. Requests a second answer if the first does not match its schema and the
/// operator allows repairs.
async fn whole(
    part: Part<'_>,
    (request, decoder): (Request, Arc<dyn Decoder>),
) -> Result<WholeAnswer, Error> {
    let (answer, sent) = send_whole(part, request, decoder).await?;
    let decoder = sent.decoder;
    let Some(repair) = decoder.repair(&sent.request, &answer)? else {
        return Ok(answer);
    };
    // The correction goes where the answer came from, because only there it is known how to write it.
    let there = sent.place.map(|place| relocation::at(part.call, place));
    let part = Part {
        call: there.as_ref().unwrap_or(part.call),
        is_pinned: true,
        ..part
    };
    let mut second = match send_whole(part, repair, decoder.clone()).await {
        Ok((second, _)) => second,
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
    part: Part<'_>,
    request: Request,
    decoder: Arc<dyn Decoder>,
) -> Result<(WholeAnswer, Sent), Error> {
    let attempt = |request, decoder| WholeAttempt {
        part,
        sent: Sent {
            request,
            decoder,
            place: None,
        },
    };
    let (answer, ticket, sent) = attempted(part, request, decoder, attempt).await?;
    if let Some(usage) = answer.usage() {
        ticket.used(usage);
    }
    Ok((answer, sent))
}

/// Sends `request` in the attempts that `attempt` makes. If the endpoint refuses an optional member, sends it once more
/// without that member, and remembers the refusal if that helps.
async fn attempted<A: Attempt>(
    part: Part<'_>,
    request: Request,
    decoder: Arc<dyn Decoder>,
    attempt: impl Fn(Request, Arc<dyn Decoder>) -> A + Send + Sync,
) -> Result<A::Output, Error> {
    let Part { upstream, call, .. } = part;
    let (attempts, mut subject) = (&upstream.attempts, Subject::of(call));
    if part.is_pinned {
        subject = subject.pinned();
    }
    if let Some(limit) = part.resumed_within {
        subject = subject.resumed(limit);
    }
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
    part: Part<'a>,
    request: Request,
    decoder: Arc<dyn Decoder>,
}

impl Attempt for StreamAttempt<'_> {
    type Output = (EventStream, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            let decoder = self.decoder.stream(reply.headers());
            let call = self.part.call;
            let idle = call.model.timeouts.idle;
            let limit = call.trace.shortened(idle);
            let idle = Idle {
                limit,
                is_own: limit < idle,
            };
            let tasks = self.part.upstream.tasks.clone();
            EventStream::open(reply.into_body(), decoder, idle, tasks).await
        })
        .await
    }

    async fn relocate(&mut self, place: usize) -> Result<(), Error> {
        (self.request, self.decoder) = self.part.at(place).await?;
        Ok(())
    }
}

/// A request as it was sent last.
#[derive(Clone)]
struct Sent {
    request: Request,
    decoder: Arc<dyn Decoder>,
    /// The place that it was moved to.
    place: Option<usize>,
}

/// An attempt to get a whole answer.
struct WholeAttempt<'a> {
    part: Part<'a>,
    sent: Sent,
}

impl Attempt for WholeAttempt<'_> {
    type Output = (WholeAnswer, Ticket, Sent);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        let (answer, ticket) = send
            .billed(async {
                let reply = send.send_model(self.sent.request.clone()).await?;
                let (parts, body) = reply.into_parts();
                let body = collected(body, MAX_REPLY_BYTES).await?;
                self.sent.decoder.whole(&parts.headers, &body)
            })
            .await?;
        if let Some(arn) = &answer.invoked_model {
            self.part.call.trace.set_invoked(arn.clone());
        }
        Ok((answer, ticket, self.sent.clone()))
    }

    async fn relocate(&mut self, place: usize) -> Result<(), Error> {
        let (request, decoder) = self.part.at(place).await?;
        self.sent = Sent {
            request,
            decoder,
            place: Some(place),
        };
        Ok(())
    }
}
