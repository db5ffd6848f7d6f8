//! Amazon Titan: one text or image a request.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html>

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Decoder, Encoded, Part, Sent, malformed, parsed, usage, written};
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
    embedding: Vec<f32>,
    #[serde(default)]
    input_text_token_count: Option<u64>,
    /// What went wrong; only the multimodal model says so here.
    #[serde(default)]
    message: Option<String>,
}

pub fn v1(part: &Part<'_>) -> Encoded {
    text(part, None)
}

pub fn v2(part: &Part<'_>) -> Encoded {
    text(part, part.embed.dimensions)
}

fn text(part: &Part<'_>, dimensions: Option<u32>) -> Encoded {
    let input_text = part.inputs.iter().find_map(as_text).unwrap_or_default();
    let body = written(&TextRequest {
        input_text,
        dimensions,
    })?;
    Ok((body, Box::new(Titan(Sent::of(part)))))
}

pub fn multimodal(part: &Part<'_>) -> Encoded {
    let image = part.inputs.iter().find_map(|input| match input {
        Input::Image(image) => Some(image.data.as_str()),
        Input::Text(_) => None,
    });
    let length = part.embed.dimensions;
    let body = written(&MultimodalRequest {
        input_text: part.inputs.iter().find_map(as_text),
        input_image: image,
        embedding_config: length.map(|output_embedding_length| EmbeddingConfig {
            output_embedding_length,
        }),
    })?;
    Ok((body, Box::new(Titan(Sent::of(part)))))
}

fn as_text(input: &Input) -> Option<&str> {
    match input {
        Input::Text(text) => Some(text),
        Input::Image(_) => None,
    }
}

struct Titan(Sent);

impl Decoder for Titan {
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error> {
        let reply: Reply = parsed(body)?;
        if let Some(message) = reply.message {
            let error = Error::new(Kind::InvalidRequest, "The model rejected the input.");
            return Err(error
                .with_code("model_error")
                .with_detail(message)
                .may_be_billed());
        }
        if reply.embedding.is_empty() {
            return Err(malformed("no `embedding`"));
        }
        Ok(EmbedReply {
            vectors: self.0.checked(vec![reply.embedding])?,
            usage: usage(reply.input_text_token_count, headers, &self.0),
        })
    }
}
