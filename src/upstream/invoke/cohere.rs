//! Cohere Embed: up to 96 texts a request.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v4.html>

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Decoder, Encoded, Part, Sent, parsed, usage, written};
use crate::{
    error::Error,
    operation::embed::{EmbedReply, Input, Purpose},
};

#[derive(Serialize)]
struct Request<'a> {
    texts: Vec<&'a str>,
    input_type: &'static str,
    embedding_types: [&'static str; 1],
    /// Too long a text is an error: a vector of its beginning would be wrong in silence.
    truncate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
}

#[derive(Deserialize)]
struct Reply {
    embeddings: Embeddings,
}

/// A list where no type was asked for, else a list by type.
#[derive(Deserialize)]
#[serde(untagged)]
enum Embeddings {
    ByType { float: Vec<Vec<f32>> },
    Plain(Vec<Vec<f32>>),
}

pub fn v3(part: &Part<'_>) -> Encoded {
    request(part, None)
}

pub fn v4(part: &Part<'_>) -> Encoded {
    request(part, part.embed.dimensions)
}

fn request(part: &Part<'_>, output_dimension: Option<u32>) -> Encoded {
    let texts = part.inputs.iter().filter_map(|input| match input {
        Input::Text(text) => Some(text.as_str()),
        Input::Image(_) => None,
    });
    let body = written(&Request {
        texts: texts.collect(),
        input_type: match part.embed.purpose.unwrap_or_default() {
            Purpose::SearchDocument => "search_document",
            Purpose::SearchQuery => "search_query",
            Purpose::Classification => "classification",
            Purpose::Clustering => "clustering",
        },
        embedding_types: ["float"],
        truncate: "NONE",
        output_dimension,
    })?;
    Ok((body, Box::new(Cohere(Sent::of(part)))))
}

struct Cohere(Sent);

impl Decoder for Cohere {
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error> {
        let Reply { embeddings } = parsed(body)?;
        let (Embeddings::ByType { float: vectors } | Embeddings::Plain(vectors)) = embeddings;
        Ok(EmbedReply {
            vectors: self.0.checked(vectors)?,
            usage: usage(None, headers, &self.0),
        })
    }
}
