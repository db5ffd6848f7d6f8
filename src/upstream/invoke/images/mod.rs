//! Image models: one image for each request.

mod amazon;
mod stability;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{malformed, metadata_header, serialize};
use crate::{
    call::Call,
    error::{Error, Kind},
    model::{DrawFamily, Model},
    money::{Tier, Usage},
    operation::draw::{Draw, draws},
    upstream::{Codec, PartDecoder, Request, ServiceOperation, fan_out::Billed},
};

/// The codec for images over InvokeModel.
pub struct Images;

impl Codec<Draw> for Images {
    fn encode(
        &self,
        call: &Call<Draw>,
    ) -> Result<Vec<(Request, Box<dyn PartDecoder<Part = String>>)>, Error> {
        let facts = draws(&call.model, call.body.is_edit)?;
        let headers = vec![metadata_header(call)];
        let mut body = match facts.family {
            DrawFamily::StabilityGenerate | DrawFamily::StabilityEdit => {
                stability::body(&call.body, facts, call.trace.warnings())
            }
            DrawFamily::AmazonImage => amazon::body(&call.body, call.trace.warnings()),
        };
        let usage = usage(&call.model);
        let requests = (0..call.body.n).map(|index| {
            let seed = match facts.family {
                DrawFamily::AmazonImage => body.pointer_mut("/imageGenerationConfig/seed"),
                _ => body.pointer_mut("/seed"),
            };
            // Equal seeds would make equal images.
            if let Some(seed) = seed.filter(|_| index > 0) {
                *seed = seed.as_u64().unwrap_or_default().wrapping_add(1).into();
            }
            let request = Request {
                operation: ServiceOperation::InvokeModel,
                headers: headers.clone(),
                body: serialize(&body)?,
            };
            let decoder: Box<dyn PartDecoder<Part = String>> = match facts.family {
                DrawFamily::AmazonImage => Box::new(amazon::Decoder(usage)),
                _ => Box::new(stability::Decoder(usage)),
            };
            Ok((request, decoder))
        });
        requests.collect()
    }
}

/// The usage of one image.
fn usage(model: &Model) -> Usage {
    let mut usage = Usage {
        output_images: 1,
        ..Usage::default()
    };
    let price = model.price.as_deref();
    usage.cost = price.and_then(|price| price.cost(&usage, Tier::Standard));
    usage
}

/// The image of a reply.
///
/// # Errors
/// If there is none, or it is not Base64.
fn image(images: Vec<String>, usage: Usage) -> Result<Billed<String>, Error> {
    let image = images.into_iter().next().filter(|image| !image.is_empty());
    let image = image.ok_or_else(|| malformed("no image"))?;
    match STANDARD.decode(&image) {
        Ok(_) => Ok(Billed {
            usage,
            result: Ok(image),
        }),
        Err(_) => Err(malformed("an image that is not Base64")),
    }
}

/// A reply that the model's safety system withheld. Bedrock does not say that it is free, so it counts as billed.
fn filtered(reason: &str, usage: Usage) -> Billed<String> {
    let reason: String = reason.chars().take(200).collect();
    let error = Error::new(
        Kind::InvalidRequest,
        format!(
            "The model's safety system rejected the request: {reason}. Change the prompt or the images."
        ),
    );
    Billed {
        usage,
        result: Err(error.with_code("content_policy_violation")),
    }
}
