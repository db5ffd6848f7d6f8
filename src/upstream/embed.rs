//! Sends an embeddings call in batches, several at a time, and keeps the order of the inputs.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;

use super::{
    Attempt, Codec, EmbedDecoder, Exchange, Request, Subject, Try, Upstream, collected, invoke,
};
use crate::{
    call::{Call, Route, Ticket},
    error::{Error, Kind, RetryAdvice},
    money::Usage,
    operation::embed::{Embed, EmbedReply},
};

/// Maximum number of requests in flight per call.
const MAX_IN_FLIGHT: usize = 8;

/// How long a failed call waits for its other batches. One that hangs must not keep the client from its error; it is
/// settled as lost.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The code of a batch that was not sent, because another failed or the client disconnected.
const ABANDONED: &str = "client_gone";

/// Cap on the body of a reply, in bytes. 96 vectors of 3072 decimal numbers are about 6 MiB.
const MAX_REPLY_BYTES: usize = 32 << 20;

impl Exchange for Embed {
    type Decoder = Box<dyn EmbedDecoder>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Invoke => Some(&invoke::Embeddings),
            Route::Converse | Route::GuardrailChecks | Route::ApplyGuardrail => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<EmbedReply, Error> {
        let failed = &AtomicBool::new(false);
        let count = requests.len();
        let batches =
            requests
                .into_iter()
                .enumerate()
                .map(|(index, (request, decoder))| async move {
                    // A batch that was not sent costs nothing yet.
                    if failed.load(Ordering::Relaxed) || call.trace.is_client_gone() {
                        return (index, Err(abandoned()));
                    }
                    let result = send_batch(upstream, call, request, decoder, failed).await;
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    (index, result)
                });
        let batches: Vec<_> = batches.collect();
        let mut results = stream::iter(batches).buffer_unordered(MAX_IN_FLIGHT);
        let mut replies: Vec<EmbedReply> = Vec::new();
        replies.resize_with(count, EmbedReply::default);
        while let Some((index, result)) = results.next().await {
            match result {
                Ok(reply) => replies[index] = reply,
                Err(failure) => return Err(most_certain(failure, results).await),
            }
        }
        let mut vectors = Vec::with_capacity(call.body.inputs.len());
        let mut usage: Option<Usage> = None;
        for batch in replies {
            vectors.extend(batch.vectors);
            usage = Some(usage.map_or(batch.usage, |usage| usage + batch.usage));
        }
        let total = call.trace.spending().total();
        Ok(EmbedReply {
            vectors,
            usage: total.with_side_costs(usage.unwrap_or_default()),
        })
    }
}

/// Reads the replies to the batches in flight, which Bedrock bills, and returns the failure that says most: one that
/// a retry does not help, if there is one.
async fn most_certain(
    first: Error,
    results: impl Stream<Item = (usize, Result<EmbedReply, Error>)>,
) -> Error {
    let failures = results.filter_map(|(_, result)| ready(result.err()));
    let others: Vec<Error> = timeout(DRAIN_TIMEOUT, failures.collect())
        .await
        .unwrap_or_default();
    let is_final = |error: &Error| error.retry_advice() == RetryAdvice::Never;
    if is_final(&first) {
        return first;
    }
    let mut others = others
        .into_iter()
        .filter(|error| error.code() != Some(ABANDONED));
    others.find(is_final).unwrap_or(first)
}

/// The error for a request that was not sent, because nobody receives its reply.
pub fn abandoned() -> Error {
    Error::new(Kind::RequestTimeout, "The request was abandoned.").with_code(ABANDONED)
}

async fn send_batch(
    upstream: &Upstream,
    call: &Call<Embed>,
    request: Request,
    decoder: Box<dyn EmbedDecoder>,
    failed: &AtomicBool,
) -> Result<EmbedReply, Error> {
    let operation = request.operation;
    let attempt = BatchAttempt {
        request,
        decoder,
        failed,
    };
    let (reply, ticket) = upstream
        .attempts
        .run(Subject::of(call), operation, attempt)
        .await?;
    ticket.used(reply.usage);
    Ok(reply)
}

struct BatchAttempt<'a> {
    request: Request,
    decoder: Box<dyn EmbedDecoder>,
    /// Another batch of the call failed.
    failed: &'a AtomicBool,
}

impl Attempt for BatchAttempt<'_> {
    type Output = (EmbedReply, Ticket);

    async fn attempt(&mut self, send: Try<'_>) -> Result<Self::Output, Error> {
        send.billed(async {
            let reply = send.send_model(self.request.clone()).await?;
            let (parts, body) = reply.into_parts();
            self.decoder
                .read(&parts.headers, &collected(body, MAX_REPLY_BYTES).await?)
        })
        .await
    }
    fn is_wanted(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }
}
