//! Sends a request for images: one request to Bedrock for each image.

use std::sync::Arc;

use super::{
    Codec, Exchange, Request, Upstream,
    fan_out::{self, PartDecoder},
    invoke,
};
use crate::{
    call::{Call, Route},
    error::Error,
    operation::draw::{Draw, DrawReply},
};

/// Cap on the body of a reply, in bytes. An image of 4096 by 4096 pixels has at most 64 MiB.
const MAX_REPLY_BYTES: usize = 96 << 20;

impl Exchange for Draw {
    type Decoder = Box<dyn PartDecoder<Part = String>>;

    fn codec(route: Route) -> Option<&'static dyn Codec<Self>> {
        match route {
            Route::Invoke => Some(&invoke::Images),
            _ => None,
        }
    }

    async fn exchange(
        upstream: &Upstream,
        call: &Arc<Call<Self>>,
        requests: Vec<(Request, Self::Decoder)>,
    ) -> Result<DrawReply, Error> {
        let (images, usage) = fan_out::all(upstream, call, requests, MAX_REPLY_BYTES).await?;
        let total = call.trace.spending().total();
        Ok(DrawReply {
            images,
            usage: total.with_side_costs(usage),
        })
    }
}
