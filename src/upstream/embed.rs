//! How embeddings are asked of the service: in batches, some at a time, in order.

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

/// Requests of one call that run at a time.
const PARALLEL: usize = 8;

/// 96 vectors of 3072 numbers in words are about 6 MiB.
const MAX_REPLY_BYTES: usize = 32 << 20;

/// Reads the reply to one batch.
pub trait Decoder: Send + Sync {
    /// The vectors of the batch, in the order of its inputs, and their usage.
    ///
    /// # Errors
    /// If the reply does not hold them.
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
        let ask_each = requests.into_iter().map(|(request, decoder)| async move {
            // After a failure nothing new is sent; what was begun is paid for and read to its end.
            if failed.load(Ordering::Relaxed) {
                return None;
            }
            let result = ask(upstream, call, request, decoder).await;
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            Some(result)
        });
        let asked: Vec<_> = ask_each.collect();
        let answers: Vec<_> = stream::iter(asked).buffered(PARALLEL).collect().await;
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

async fn ask(
    upstream: &Upstream,
    call: &Call<Embed>,
    request: Request,
    decoder: Box<dyn Decoder>,
) -> Result<EmbedReply, Error> {
    let operation = request.operation;
    let attempt = Asking { request, decoder };
    let (reply, ticket) = upstream
        .attempts
        .run(Subject::of(call), operation, attempt)
        .await?;
    ticket.used(reply.usage);
    Ok(reply)
}

struct Asking {
    request: Request,
    decoder: Box<dyn Decoder>,
}

impl Attempt for Asking {
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
