//! Amazon Nova multimodal embeddings: one text or image per request.
//! <https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html>

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Batch, EmbedDecoder, Encoded, SentBatch, malformed, parse, serialize, usage};
use crate::{
    error::Error,
    operation::embed::{EmbedReply, Input, Purpose},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    schema_version: &'static str,
    task_type: &'static str,
    single_embedding_params: Params<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    embedding_purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_dimension: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Text<'a> {
    /// `NONE` rejects a text that is too long. Truncation would silently embed only its beginning.
    truncation_mode: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct Image<'a> {
    format: &'static str,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Source<'a> {
    bytes: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    embeddings: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    embedding: Vec<f32>,
    /// Set if the service cut the text.
    #[serde(default)]
    truncated_char_length: Option<u64>,
}

/// Encodes a request.
pub fn multimodal(batch: &Batch<'_>) -> Encoded {
    let mut params = Params {
        embedding_purpose: match batch.embed.purpose.unwrap_or_default() {
            Purpose::SearchDocument => "GENERIC_INDEX",
            Purpose::SearchQuery => "GENERIC_RETRIEVAL",
            Purpose::Classification => "CLASSIFICATION",
            Purpose::Clustering => "CLUSTERING",
        },
        embedding_dimension: batch.size,
        text: None,
        image: None,
    };
    match batch.inputs.first() {
        Some(Input::Text(value)) => {
            params.text = Some(Text {
                truncation_mode: "NONE",
                value,
            })
        }
        Some(Input::Image(image)) => {
            let source = Source { bytes: &image.data };
            params.image = Some(Image {
                format: image.format,
                source,
            });
        }
        None => {}
    }
    let body = serialize(&Request {
        schema_version: "nova-multimodal-embed-v1",
        task_type: "SINGLE_EMBEDDING",
        single_embedding_params: params,
    })?;
    Ok((body, Box::new(Nova(SentBatch::of(batch)))))
}

struct Nova(SentBatch);

impl EmbedDecoder for Nova {
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error> {
        let Reply { embeddings } = parse(body)?;
        let vector = embeddings
            .into_iter()
            .next()
            .ok_or_else(|| malformed("no `embeddings`"))?;
        if let Some(kept) = vector.truncated_char_length {
            return Err(malformed(format!("the text was cut to {kept} characters")));
        }
        Ok(EmbedReply {
            vectors: self.0.validated(vec![vector.embedding])?,
            usage: usage(None, headers, &self.0),
        })
    }
}
