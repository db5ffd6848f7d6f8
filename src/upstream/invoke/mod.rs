//! The InvokeModel route: encodes requests and decodes replies of each model family, without I/O.

pub mod chat;
mod cohere;
mod images;
mod nova;
mod rerank;
mod titan;
mod twelvelabs;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

pub use images::Images;
pub use rerank::Reranking;

use crate::{
    bedrock::reply::TokenUsage,
    call::{Call, REQUEST_ID},
    error::{Error, Kind},
    model::EmbedFamily,
    money::{Price, Tier, Usage},
    operation::embed::{Embed, Input, embeds},
    upstream::{
        Codec, EmbedDecoder, Request, ServiceOperation,
        converse::{
            finish::ReplySize,
            reported::{Estimate, Reported},
        },
    },
};

/// The codec for embeddings over InvokeModel.
pub struct Embeddings;

impl Codec<Embed> for Embeddings {
    fn encode(&self, call: &Call<Embed>) -> Result<Vec<(Request, Box<dyn EmbedDecoder>)>, Error> {
        let facts = embeds(&call.model)?;
        if call.body.purpose.is_some() && !facts.family.distinguishes_purposes() {
            let why = "the vectors of this model are the same for every purpose";
            call.trace.warnings().dropped("input_type", why);
        }
        let headers = vec![metadata_header(call)];
        let requests = call.body.batches(facts.family).into_iter().map(|inputs| {
            let batch = Batch {
                embed: &call.body,
                inputs,
                size: call.body.dimensions.or(facts.dimensions.first().copied()),
                price: call.model.price.clone(),
            };
            let (body, decoder) = match facts.family {
                EmbedFamily::TitanV1 => titan::v1(&batch),
                EmbedFamily::TitanV2 => titan::v2(&batch),
                EmbedFamily::TitanMultimodal => titan::multimodal(&batch),
                EmbedFamily::CohereV3 => cohere::v3(&batch),
                EmbedFamily::CohereV4 => cohere::v4(&batch),
                EmbedFamily::NovaMultimodal => nova::multimodal(&batch),
                EmbedFamily::Marengo2 => twelvelabs::marengo_2(&batch),
                EmbedFamily::Marengo3 => twelvelabs::marengo_3(&batch),
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
        requests.collect()
    }
}

/// The inputs of a call that go into one request.
struct Batch<'a> {
    embed: &'a Embed,
    inputs: &'a [Input],
    /// The size of the vectors. The model's default is the first that it supports.
    size: Option<u32>,
    price: Option<Arc<Price>>,
}

/// The body of one request and the decoder of its reply.
type Encoded = Result<(Bytes, Box<dyn EmbedDecoder>), Error>;

/// Returns the header that identifies the call in Bedrock's invocation log.
fn metadata_header<T>(call: &Call<T>) -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_static("x-amzn-bedrock-request-metadata");
    let ids = json!({ REQUEST_ID: &*call.request_id, "lintel_key_id": &call.caller.key_id });
    // Both ids come from the gateway or its configuration and are valid in a header, so the fallback is never used.
    let value = HeaderValue::try_from(ids.to_string());
    (
        name,
        value.unwrap_or_else(|_| HeaderValue::from_static("{}")),
    )
}

pub(super) fn serialize(body: &impl Serialize) -> Result<Bytes, Error> {
    serialize_into(Vec::new(), body)
}

/// Serializes a body into `buffer`.
fn serialize_into(mut buffer: Vec<u8>, body: &impl Serialize) -> Result<Bytes, Error> {
    match serde_json::to_writer(&mut buffer, body) {
        Ok(()) => Ok(Bytes::from(buffer)),
        Err(error) => Err(Error::new(
            Kind::Internal,
            "The gateway could not serialize the request to Bedrock.",
        )
        .with_detail(error.to_string())),
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        malformed(format!(
            "{:?} at column {} of {} bytes",
            error.classify(),
            error.column(),
            body.len()
        ))
    })
}

/// Returns the error for a reply that does not match the family's format. Bedrock has billed the request.
pub(super) fn malformed(detail: impl Into<String>) -> Error {
    Error::new(
        Kind::Upstream,
        "Bedrock sent a reply that could not be parsed.",
    )
    .with_code("upstream_malformed")
    .with_detail(detail)
    .may_be_billed()
}

/// Returns the tokens of `bytes` of text, and whether they are an estimate. Bedrock reports them in the body (`counted`) or
/// in a header. Counts are judged as those of chats.
pub(super) fn input_tokens(counted: Option<i64>, headers: &HeaderMap, bytes: u64) -> (u64, bool) {
    let header = headers.get("x-amzn-bedrock-input-token-count");
    let header = header.and_then(|count| count.to_str().ok()?.parse().ok());
    let counted = counted.or(header).map(|input_tokens| TokenUsage {
        input_tokens,
        ..TokenUsage::default()
    });
    let size = ReplySize {
        // Without text, there may be no tokens.
        is_blocked: bytes == 0,
        ..ReplySize::default()
    };
    // Four bytes per token.
    let estimate = Estimate {
        input: bytes.div_ceil(4),
        output: 0,
    };
    let usage = Reported::from(counted).usage(None, size, estimate);
    (usage.input, usage.estimated && bytes > 0)
}

/// Returns the usage of one request.
fn usage(counted: Option<i64>, headers: &HeaderMap, of: &SentBatch) -> Usage {
    let (input, estimated) = input_tokens(counted, headers, of.bytes);
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

/// The properties of a request that decoding its reply needs.
struct SentBatch {
    /// Number of inputs.
    count: usize,
    size: Option<u32>,
    /// Length of all texts, in bytes.
    bytes: u64,
    images: u64,
    price: Option<Arc<Price>>,
}

impl SentBatch {
    fn of(batch: &Batch<'_>) -> Self {
        let bytes = batch.inputs.iter().map(|input| match input {
            Input::Text(text) => text.len() as u64,
            Input::Image(_) => 0,
        });
        let images = batch
            .inputs
            .iter()
            .filter(|input| matches!(input, Input::Image(_)));
        Self {
            count: batch.inputs.len(),
            size: batch.size,
            bytes: bytes.sum(),
            images: images.count() as u64,
            price: batch.price.clone(),
        }
    }

    /// Returns `vectors` if there is one per input, each has the right size, and every component is finite.
    fn validated(&self, vectors: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>, Error> {
        if vectors.len() != self.count {
            let counts = format!("{} vectors for {} inputs", vectors.len(), self.count);
            return Err(malformed(counts));
        }
        for vector in &vectors {
            let fits = self.size.is_none_or(|size| vector.len() == size as usize);
            if vector.is_empty() || !fits || !vector.iter().all(|n| n.is_finite()) {
                return Err(malformed(format!(
                    "a vector of {} components",
                    vector.len()
                )));
            }
        }
        Ok(vectors)
    }
}
