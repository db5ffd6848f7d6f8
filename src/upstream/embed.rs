//! Sends an embeddings call in batches, and joins their vectors in the order of the inputs.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    Codec, EmbedDecoder, Exchange, Request, Upstream,
    fan_out::{self, Billed, PartDecoder},
    invoke,
};
use crate::{
    call::{Call, Route},
    error::Error,
    operation::embed::{Embed, EmbedReply},
};

/// Cap on the body of a reply, in bytes. 96 vectors of 3072 decimal numbers are about 6 MiB.
const MAX_REPLY_BYTES: usize = 32 << 20;

impl Exchange for Embed {
    type Decoder = Box<dyn EmbedDecoder>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Invoke => Some(&invoke::Embeddings),
            _ => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<EmbedReply, Error> {
        let (batches, usage) = fan_out::all(upstream, call, requests, MAX_REPLY_BYTES).await?;
        let mut vectors = Vec::with_capacity(call.body.inputs.len());
        for batch in batches {
            vectors.extend(batch.vectors);
        }
        Ok(EmbedReply {
            vectors,
            usage: call.trace.spending().told(usage),
        })
    }
}

// For any lifetime, because the compiler forgets in futures that it is `'static`.
impl<'a> PartDecoder for Box<dyn EmbedDecoder + 'a> {
    type Part = EmbedReply;

    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Billed<EmbedReply>, Error> {
        let reply = EmbedDecoder::read(&**self, headers, body)?;
        Ok(Billed {
            usage: reply.usage,
            result: Ok(reply),
        })
    }
}
