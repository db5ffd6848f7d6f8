//! Cohere Embed: up to 96 texts per request.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v4.html>

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Batch, EmbedDecoder, Encoded, SentBatch, parse, serialize, usage};
use crate::{
    error::Error,
    operation::embed::{EmbedReply, Input, Purpose},
};

#[derive(Serialize)]
struct Request<'a> {
    texts: Vec<&'a str>,
    input_type: &'static str,
    embedding_types: [&'static str; 1],
    /// `NONE` rejects a text that is too long. Truncation would silently embed only its beginning.
    truncate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
}

#[derive(Deserialize)]
struct Reply {
    embeddings: Embeddings,
}

/// An object by type if the request names `embedding_types`, else a plain list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Embeddings {
    ByType { float: Vec<Vec<f32>> },
    Plain(Vec<Vec<f32>>),
}

/// Encodes a request to Embed v3, which has a fixed dimension.
pub fn v3(batch: &Batch<'_>) -> Encoded {
    request(batch, None)
}

/// Encodes a request to Embed v4.
pub fn v4(batch: &Batch<'_>) -> Encoded {
    request(batch, batch.embed.dimensions)
}

fn request(batch: &Batch<'_>, output_dimension: Option<u32>) -> Encoded {
    let texts = batch.inputs.iter().filter_map(|input| match input {
        Input::Text(text) => Some(text.as_str()),
        Input::Image(_) => None,
    });
    let body = serialize(&Request {
        texts: texts.collect(),
        input_type: match batch.embed.purpose.unwrap_or_default() {
            Purpose::SearchDocument => "search_document",
            Purpose::SearchQuery => "search_query",
            Purpose::Classification => "classification",
            Purpose::Clustering => "clustering",
        },
        embedding_types: ["float"],
        truncate: "NONE",
        output_dimension,
    })?;
    Ok((body, Box::new(Cohere(SentBatch::of(batch)))))
}

struct Cohere(SentBatch);

impl EmbedDecoder for Cohere {
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error> {
        let Reply { embeddings } = parse(body)?;
        let (Embeddings::ByType { float: vectors } | Embeddings::Plain(vectors)) = embeddings;
        Ok(EmbedReply {
            vectors: self.0.validated(vectors)?,
            usage: usage(None, headers, &self.0),
        })
    }
}
