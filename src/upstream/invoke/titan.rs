//! Amazon Titan Embeddings: one text or image per request.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html>

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Batch, EmbedDecoder, Encoded, SentBatch, malformed, parse, serialize, usage};
use crate::{
    error::{Error, Kind},
    operation::embed::{EmbedReply, Input},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextRequest<'a> {
    input_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MultimodalRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_image: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_config: Option<EmbeddingConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbeddingConfig {
    output_embedding_length: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    #[serde(default)]
    embedding: Option<Vec<f32>>,
    #[serde(default)]
    input_text_token_count: Option<i64>,
    /// The error message; only the multimodal model reports errors in the reply.
    #[serde(default)]
    message: Option<String>,
}

/// Encodes a request to Titan Text Embeddings v1, which has a fixed dimension.
pub fn v1(batch: &Batch<'_>) -> Encoded {
    text(batch, None)
}

/// Encodes a request to Titan Text Embeddings v2.
pub fn v2(batch: &Batch<'_>) -> Encoded {
    text(batch, batch.embed.dimensions)
}

fn text(batch: &Batch<'_>, dimensions: Option<u32>) -> Encoded {
    let input_text = batch.inputs.iter().find_map(as_text).unwrap_or_default();
    let body = serialize(&TextRequest {
        input_text,
        dimensions,
    })?;
    Ok((body, Box::new(Titan(SentBatch::of(batch)))))
}

/// Encodes a request to Titan Multimodal Embeddings.
pub fn multimodal(batch: &Batch<'_>) -> Encoded {
    let image = batch.inputs.iter().find_map(|input| match input {
        Input::Image(image) => Some(image.data.as_str()),
        Input::Text(_) => None,
    });
    let length = batch.embed.dimensions;
    let body = serialize(&MultimodalRequest {
        input_text: batch.inputs.iter().find_map(as_text),
        input_image: image,
        embedding_config: length.map(|output_embedding_length| EmbeddingConfig {
            output_embedding_length,
        }),
    })?;
    Ok((body, Box::new(Titan(SentBatch::of(batch)))))
}

fn as_text(input: &Input) -> Option<&str> {
    match input {
        Input::Text(text) => Some(text),
        Input::Image(_) => None,
    }
}

struct Titan(SentBatch);

impl EmbedDecoder for Titan {
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error> {
        let reply: Reply = parse(body)?;
        if let Some(message) = reply.message {
            let error = Error::new(Kind::InvalidRequest, "The model rejected the input.");
            return Err(error
                .with_code("model_error")
                .with_detail(message)
                .may_be_billed());
        }
        let vector = reply.embedding.ok_or_else(|| malformed("no `embedding`"))?;
        Ok(EmbedReply {
            vectors: self.0.validated(vec![vector])?,
            usage: usage(reply.input_text_token_count, headers, &self.0),
        })
    }
}
