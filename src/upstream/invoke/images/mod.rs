//! Image models: one image for each request.

mod amazon;
mod stability;

use std::io::{self, Read};

use base64::{engine::general_purpose::STANDARD, read::DecoderReader};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::{malformed, metadata_header, serialize_into};
use crate::{
    call::Call,
    error::{Error, Kind},
    model::{Draw as Facts, DrawFamily, Model},
    money::{Tier, Usage},
    operation::draw::{Draw, Image, draws},
    upstream::{Codec, PartDecoder, Request, ServiceOperation, fan_out::Billed},
};

/// The bytes that show the format of an image.
const SIGNATURE: u64 = 64;

/// The most bytes of a body beside its images and prompts, roughly.
const OTHER_MEMBERS: usize = 4096;

/// The codec for images over InvokeModel.
pub struct Images;

impl Codec<Draw> for Images {
    fn encode(
        &self,
        call: &Call<Draw>,
    ) -> Result<Vec<(Request, Box<dyn PartDecoder<Part = Image>>)>, Error> {
        let draw = &*call.body;
        let facts = draws(&call.model, draw.is_edit)?;
        // The seed is the last member, so that requests with different seeds share the rest of the body.
        let (body, end) = match facts.family {
            DrawFamily::StabilityGenerate | DrawFamily::StabilityEdit => {
                (stability::body(draw, facts, call.trace.warnings()), "}")
            }
            DrawFamily::AmazonImage => (amazon::body(draw, call.trace.warnings()), "}}"),
        };
        let shared = shared(&body, draw)?;
        let seed = draw.controls.get("seed").and_then(Value::as_u64);
        let seed = seed.filter(|_| facts.takes.iter().any(|member| member == "seed"));
        let request = Request {
            operation: ServiceOperation::InvokeModel,
            headers: vec![metadata_header(call)],
            body: match seed {
                Some(_) => shared.slice(..shared.len() - end.len()),
                None => shared,
            },
        };
        let usage = usage(&call.model);
        let requests = (0..u64::from(draw.n)).map(|index| {
            let decoder = Decoder {
                family: facts.family,
                usage,
                tail: seed
                    .map(|first| format!(r#","seed":{}{end}"#, nth_seed(first, index, facts))),
            };
            let decoder: Box<dyn PartDecoder<Part = Image>> = Box::new(decoder);
            (request.clone(), decoder)
        });
        Ok(requests.collect())
    }
}

/// Serializes `body` into a buffer that does not have to grow, because images are large.
fn shared(body: &Value, draw: &Draw) -> Result<Bytes, Error> {
    let images = draw.images.iter().chain(&draw.mask);
    let images: usize = images.map(|image| image.data.len()).sum();
    serialize_into(Vec::with_capacity(images + OTHER_MEMBERS), body)
}

/// The seed of an image. Equal seeds would make equal images. After the largest seed comes 1, because 0 asks for a random
/// one.
fn nth_seed(first: u64, index: u64, facts: &Facts) -> u64 {
    let most = u64::from(facts.max_seed.unwrap_or(u32::MAX));
    let seed = first + index;
    if seed > most { seed - most } else { seed }
}

/// Reads the reply to one request.
struct Decoder {
    family: DrawFamily,
    /// The usage of the request.
    usage: Usage,
    /// The seed, and the end of the body.
    tail: Option<String>,
}

impl PartDecoder for Decoder {
    type Part = Image;

    fn tail(&self) -> Option<&[u8]> {
        self.tail.as_deref().map(str::as_bytes)
    }

    fn read(&self, _: &HeaderMap, body: &[u8]) -> Result<Billed<Image>, Error> {
        match self.family {
            DrawFamily::AmazonImage => amazon::read(body, self.usage),
            _ => stability::read(body, self.usage),
        }
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
/// If there is none, or it is not Base64 of a PNG, a JPEG or a WebP.
fn image(images: Vec<String>, usage: Usage) -> Result<Billed<Image>, Error> {
    let data = images.into_iter().next().filter(|image| !image.is_empty());
    let data = data.ok_or_else(|| malformed("no image"))?;
    let format = format(&data)?;
    Ok(Billed {
        usage,
        result: Ok(Image { data, format }),
    })
}

/// The format of an image. Decodes it piece by piece, because a copy of it would take memory.
fn format(data: &str) -> Result<&'static str, Error> {
    let mut bytes = DecoderReader::new(data.as_bytes(), &STANDARD);
    let mut head = Vec::new();
    let read = (&mut bytes).take(SIGNATURE).read_to_end(&mut head);
    if read
        .and_then(|_| io::copy(&mut bytes, &mut io::sink()))
        .is_err()
    {
        return Err(malformed("an image that is not Base64"));
    }
    match infer::get(&head).map(|kind| kind.mime_type()) {
        Some("image/png") => Ok("png"),
        Some("image/jpeg") => Ok("jpeg"),
        Some("image/webp") => Ok("webp"),
        _ => Err(malformed("an image that is no PNG, JPEG or WebP")),
    }
}

/// A reply that the model's safety system withheld. Bedrock does not say that it is free, so it counts as billed.
fn filtered(reason: &str, usage: Usage) -> Billed<Image> {
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

#[cfg(test)]
mod tests;
