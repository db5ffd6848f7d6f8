//! The InvokeModel route: the body and the reply of each family. Pure.

mod cohere;
mod nova;
mod titan;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    call::{Call, REQUEST_ID},
    error::{Error, Kind},
    model::EmbedFamily,
    money::{Price, Tier, Usage},
    operation::embed::{Embed, Input, embeds},
    upstream::{Codec, Request, ServiceOperation, embed::Decoder},
};

/// Embeddings by InvokeModel, each family with its own body.
pub struct Embeddings;

impl Codec<Embed> for Embeddings {
    fn encode(&self, call: &Call<Embed>) -> Result<Vec<(Request, Box<dyn Decoder>)>, Error> {
        let facts = embeds(&call.model)?;
        if let Some(dimensions) = call.body.dimensions
            && !facts.dimensions.contains(&dimensions)
        {
            let sizes: Vec<String> = facts.dimensions.iter().map(u32::to_string).collect();
            let text = format!(
                "`dimensions` is {dimensions}; this model makes vectors of {}.",
                sizes.join(", ")
            );
            return Err(Error::invalid("dimensions", text));
        }
        check(&call.body, facts.family)?;
        if call.body.purpose.is_some() && !facts.family.distinguishes_purposes() {
            let why = "the vectors of this model are the same for every purpose";
            call.trace.warnings().dropped("input_type", why);
        }
        let headers = vec![metadata(call)];
        let requests = call.body.batches(facts.family).into_iter().map(|inputs| {
            let part = Part {
                embed: &call.body,
                inputs,
                price: call.model.price.clone(),
            };
            let (body, decoder) = match facts.family {
                EmbedFamily::TitanV1 => titan::v1(&part),
                EmbedFamily::TitanV2 => titan::v2(&part),
                EmbedFamily::TitanMultimodal => titan::multimodal(&part),
                EmbedFamily::CohereV3 => cohere::v3(&part),
                EmbedFamily::CohereV4 => cohere::v4(&part),
                EmbedFamily::NovaMultimodal => {
                    nova::multimodal(&part, facts.dimensions.first().copied())
                }
            }?;
            let operation = ServiceOperation::InvokeModel;
            Ok((
                Request {
                    operation,
                    headers: headers.clone(),
                    body,
                },
                decoder,
            ))
        });
        let requests = requests.collect::<Result<Vec<_>, Error>>()?;
        call.trace.warnings().refuse_dropped(&call.model)?;
        Ok(requests)
    }
}

/// One request's share of a call.
struct Part<'a> {
    embed: &'a Embed,
    inputs: &'a [Input],
    price: Option<Arc<Price>>,
}

/// The body of one request, and what reads its reply.
type Encoded = Result<(Bytes, Box<dyn Decoder>), Error>;

/// What the family does not take at all.
fn check(embed: &Embed, family: EmbedFamily) -> Result<(), Error> {
    for (index, input) in embed.inputs.iter().enumerate() {
        let at = || embed.at(index);
        match (input, family.max_chars()) {
            (Input::Image(_), _) if !family.takes_images() => {
                let text = "This model takes no images through this gateway.";
                return Err(Error::invalid(at(), text).with_code("unsupported_content"));
            }
            (Input::Text(text), Some(most)) if text.chars().count() > most => {
                let count = text.chars().count();
                let text = format!(
                    "The text has {count} characters; this model takes at most {most}. Split it."
                );
                return Err(Error::invalid(at(), text).with_code("context_length_exceeded"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Identifies the call in Bedrock's invocation log.
fn metadata(call: &Call<Embed>) -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_static("x-amzn-bedrock-request-metadata");
    let ids = json!({ REQUEST_ID: &*call.request_id, "lintel_key_id": &call.caller.key_id });
    // Both ids are made or configured here, of characters that a header may hold.
    let value = HeaderValue::try_from(ids.to_string());
    (
        name,
        value.unwrap_or_else(|_| HeaderValue::from_static("{}")),
    )
}

fn written(body: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| {
        Error::new(
            Kind::Internal,
            "The gateway could not write the request to Bedrock.",
        )
        .with_detail(error.to_string())
    })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        malformed(format!(
            "{:?} at column {} of {} bytes",
            error.classify(),
            error.column(),
            body.len()
        ))
    })
}

/// The reply is not what the family promises, and is on the bill.
fn malformed(detail: impl Into<String>) -> Error {
    Error::new(
        Kind::Upstream,
        "Bedrock sent a reply that could not be read.",
    )
    .with_code("upstream_malformed")
    .with_detail(detail)
    .may_be_billed()
}

/// The usage of one request. The service counts tokens in the body or in a header; if it does
/// neither, the gateway estimates four bytes a token.
fn usage(counted: Option<u64>, headers: &HeaderMap, of: &Sent) -> Usage {
    let header = headers.get("x-amzn-bedrock-input-token-count");
    let header = header.and_then(|count| count.to_str().ok()?.parse().ok());
    let (input, estimated) = match counted.or(header) {
        Some(count) => (count, false),
        None => (of.bytes.div_ceil(4), of.bytes > 0),
    };
    let mut usage = Usage {
        input,
        images: of.images,
        estimated,
        ..Usage::default()
    };
    usage.cost = of
        .price
        .as_ref()
        .and_then(|price| price.cost(&usage, Tier::Standard));
    usage
}

/// What the reading of a reply must know of its request.
struct Sent {
    count: usize,
    bytes: u64,
    images: u64,
    price: Option<Arc<Price>>,
}

impl Sent {
    fn of(part: &Part<'_>) -> Self {
        let bytes = part.inputs.iter().map(|input| match input {
            Input::Text(text) => text.len() as u64,
            Input::Image(_) => 0,
        });
        let images = part
            .inputs
            .iter()
            .filter(|input| matches!(input, Input::Image(_)));
        Self {
            count: part.inputs.len(),
            bytes: bytes.sum(),
            images: images.count() as u64,
            price: part.price.clone(),
        }
    }

    /// As many vectors as inputs, and nothing that is no number.
    fn checked(&self, vectors: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, Error> {
        let whole = |vector: &Vec<f32>| !vector.is_empty() && vector.iter().all(|n| n.is_finite());
        match vectors.len() == self.count && vectors.iter().all(whole) {
            true => Ok(vectors),
            false => Err(malformed(format!(
                "{} vectors for {} inputs",
                vectors.len(),
                self.count
            ))),
        }
    }
}
