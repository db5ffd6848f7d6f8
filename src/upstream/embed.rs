//! Sends an embeddings call in batches, several at a time, and keeps the order of the inputs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt, stream};
use http::HeaderMap;

use super::{Attempt, Codec, Exchange, Request, Subject, Try, Upstream, collected, invoke};
use crate::{
    call::{Call, Route, Ticket},
    error::Error,
    money::Usage,
    operation::embed::{Embed, EmbedReply},
};

/// Maximum number of requests in flight per call.
const MAX_IN_FLIGHT: usize = 8;

/// Cap on the body of a reply, in bytes. 96 vectors of 3072 decimal numbers are about 6 MiB.
const MAX_REPLY_BYTES: usize = 32 << 20;

/// Decodes the reply to one batch.
pub trait Decoder: Send + Sync {
    /// Returns the vectors of the batch, in the order of its inputs, and their usage.
    ///
    /// # Errors
    /// If the reply cannot be parsed or does not have one vector per input.
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error>;
}

impl Exchange for Embed {
    type Decoder = Box<dyn Decoder>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Invoke => Some(&invoke::Embeddings),
            Route::Converse => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<EmbedReply, Error> {
        let failed = &AtomicBool::new(false);
        let batches = requests.into_iter().map(|(request, decoder)| async move {
            // After a failure no further batch is sent. Batches in flight are billed anyway, so they
            // are read to their end.
            if failed.load(Ordering::Relaxed) {
                return None;
            }
            let result = send_batch(upstream, call, request, decoder).await;
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            Some(result)
        });
        let batches: Vec<_> = batches.collect();
        let answers: Vec<_> = stream::iter(batches)
            .buffered(MAX_IN_FLIGHT)
            .collect()
            .await;
        let mut vectors = Vec::with_capacity(call.body.inputs.len());
        let mut usage: Option<Usage> = None;
        for batch in answers
            .into_iter()
            .flatten()
            .collect::<Result<Vec<_>, _>>()?
        {
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

async fn send_batch(
    upstream: &Upstream,
    call: &Call<Embed>,
    request: Request,
    decoder: Box<dyn Decoder>,
) -> Result<EmbedReply, Error> {
    let operation = request.operation;
    let attempt = BatchAttempt { request, decoder };
    let (reply, ticket) = upstream
        .attempts
        .run(Subject::of(call), operation, attempt)
        .await?;
    ticket.used(reply.usage);
    Ok(reply)
}

struct BatchAttempt {
    request: Request,
    decoder: Box<dyn Decoder>,
}

impl Attempt for BatchAttempt {
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
}
