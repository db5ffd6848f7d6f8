//! How chats are asked of the service, on every route: once for each choice, whole or streamed.

mod choices;
mod event_stream;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};

use super::{Attempt, Codec, Exchange, Request, Subject, Try, Upstream, collected, converse};
use crate::{
    call::{Call, Delivery, Route, Ticket},
    error::Error,
    money::Usage,
    operation::chat::{Chat, ChatReply, Chunk},
};
use event_stream::EventStream;

/// More than any whole reply of the service.
const MAX_REPLY_BYTES: usize = 64 << 20;

/// Reads the reply to one request of a chat.
pub trait Decoder: Send + Sync {
    /// The steps of a whole reply.
    ///
    /// # Errors
    /// If the reply holds no answer.
    fn whole(&self, body: &[u8]) -> Result<WholeAnswer, Error>;

    /// What reads a streamed reply.
    fn stream(&self) -> Box<dyn StreamDecoder>;

    /// The request that asks for a better answer, if `answer` is not what the client asked for and
    /// the operator allows to ask again.
    ///
    /// # Errors
    /// If the request cannot be written.
    fn repair(&self, request: &Request, answer: &WholeAnswer) -> Result<Option<Request>, Error>;

    /// Records how a repair ended: the better answer, or the code of the failure.
    fn repaired(&self, second: Result<&WholeAnswer, &'static str>);
}

/// Reads a streamed reply piece by piece.
pub trait StreamDecoder: Send {
    /// More bytes from the wire.
    fn push(&mut self, data: Bytes);

    /// Decodes the next event and adds its steps to `out`. False if more bytes are needed.
    ///
    /// # Errors
    /// If the bytes are damaged, or the service reports a failure.
    fn decode(&mut self, out: &mut VecDeque<Chunk>) -> Result<bool, Error>;

    /// Bytes are left that are not a whole event.
    fn has_leftover(&self) -> bool;

    /// The byte stream has ended.
    ///
    /// # Errors
    /// If it ended before the message did.
    fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error>;

    /// The message has ended; its usage may still come.
    fn is_stopped(&self) -> bool;

    /// Everything that belongs to a complete reply has come.
    fn is_complete(&self) -> bool;

    /// The usage of what has come so far, if the service will report none.
    fn estimate(&self) -> Usage;
}

/// A whole reply: the steps of the same answer as a stream.
#[derive(Debug)]
pub struct WholeAnswer {
    /// Ends with `Finish`, then perhaps `Guardrail`, then `Usage`.
    pub chunks: VecDeque<Chunk>,
    /// The model that a prompt router chose, as an ARN.
    pub invoked_model: Option<String>,
}

impl WholeAnswer {
    /// The usage that the service counted, or the gateway's estimate.
    pub fn usage(&self) -> Option<Usage> {
        self.chunks.iter().rev().find_map(|chunk| match chunk {
            Chunk::Usage(usage) => Some(*usage),
            _ => None,
        })
    }
}

impl Exchange for Chat {
    type Decoder = Arc<dyn Decoder>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Converse => Some(&converse::Converse),
            Route::Invoke => None,
        }
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
            let streams = try_join_all(open).await?;
            return Ok(ChatReply::Stream(choices::stream(streams, trace)));
        }
        let asked = requests
            .into_iter()
            .map(|request| whole(upstream, call, request));
        // What was begun is paid for, so siblings of a failure are read to their end.
        let answers = join_all(asked)
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        Ok(match call.plan.delivery {
            Delivery::Replayed => ChatReply::Stream(choices::replayed(answers, trace)),
            Delivery::Whole | Delivery::Stream => ChatReply::Whole(choices::whole(answers, trace)),
        })
    }
}

/// A streamed answer, from its first token on.
async fn stream(
    upstream: &Upstream,
    call: &Call<Chat>,
    (request, decoder): (Request, Arc<dyn Decoder>),
) -> Result<EventStream, Error> {
    let operation = request.operation;
    let attempt = Opening {
        call,
        request,
        decoder,
    };
    let (mut stream, ticket) = upstream
        .attempts
        .run(Subject::of(call), operation, attempt)
        .await?;
    stream.account(ticket);
    Ok(stream)
}

/// A whole answer. One that does not fit its schema is asked for once more, if the operator allows
/// that.
async fn whole(
    upstream: &Upstream,
    call: &Call<Chat>,
    (request, decoder): (Request, Arc<dyn Decoder>),
) -> Result<WholeAnswer, Error> {
    let answer = ask(upstream, call, request.clone(), decoder.clone()).await?;
    let Some(again) = decoder.repair(&request, &answer)? else {
        return Ok(answer);
    };
    let mut second = match ask(upstream, call, again, decoder.clone()).await {
        Ok(second) => second,
        Err(error) => {
            // The answer in hand is worth more than the error, which goes into a warning.
            decoder.repaired(Err(error.label()));
            return Ok(answer);
        }
    };
    decoder.repaired(Ok(&second));
    // Both requests were made, and both are paid for.
    if let (Some(first), Some(Chunk::Usage(last))) = (answer.usage(), second.chunks.back_mut()) {
        *last = first + *last;
    }
    Ok(second)
}

async fn ask(
    upstream: &Upstream,
    call: &Call<Chat>,
    request: Request,
    decoder: Arc<dyn Decoder>,
) -> Result<WholeAnswer, Error> {
    let operation = request.operation;
    let attempt = Asking {
        call,
        request,
        decoder,
    };
    let (answer, ticket) = upstream
        .attempts
        .run(Subject::of(call), operation, attempt)
        .await?;
    if let Some(usage) = answer.usage() {
        ticket.used(usage);
    }
    Ok(answer)
}

/// An attempt to open a stream.
struct Opening<'a> {
    call: &'a Call<Chat>,
    request: Request,
    decoder: Arc<dyn Decoder>,
}

impl Attempt for Opening<'_> {
    type Output = (EventStream, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let body = send.send_model(self.request.clone()).await?.into_body();
            EventStream::open(body, self.decoder.stream(), self.call.model.timeouts.idle).await
        })
        .await
    }
}

/// An attempt to get a whole answer.
struct Asking<'a> {
    call: &'a Call<Chat>,
    request: Request,
    decoder: Arc<dyn Decoder>,
}

impl Attempt for Asking<'_> {
    type Output = (WholeAnswer, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        let (answer, ticket) = send
            .billed(async {
                let reply = send.send_model(self.request.clone()).await?;
                self.decoder
                    .whole(&collected(reply.into_body(), MAX_REPLY_BYTES).await?)
            })
            .await?;
        if let Some(arn) = &answer.invoked_model {
            self.call.trace.set_invoked(arn.clone());
        }
        Ok((answer, ticket))
    }
}
