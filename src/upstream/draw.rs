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
    operation::draw::{Draw, DrawReply, Image},
};

/// Cap on the body of a reply, in bytes. An image of 4096 by 4096 pixels has at most 64 MiB.
const MAX_REPLY_BYTES: usize = 96 << 20;

impl Exchange for Draw {
    type Decoder = Box<dyn PartDecoder<Part = Image>>;

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
        let wanted = call.body.format.as_deref();
        let other = |image: &&Image| wanted.is_some_and(|wanted| wanted != image.format);
        if let Some(Image { format, .. }) = images.iter().find(other) {
            call.trace.warnings().add(format!(
                "output_format: the model returned {format} (it did not follow the parameter)"
            ));
        }
        Ok(DrawReply {
            images,
            usage: call.trace.spending().told(usage),
        })
    }
}
