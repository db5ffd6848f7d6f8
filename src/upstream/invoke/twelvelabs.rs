//! TwelveLabs Marengo: one text or image per request, billed by the request. Video and audio are asynchronous only.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-marengo.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-marengo-3.html>

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Batch, EmbedDecoder, Encoded, SentBatch, malformed, parse, serialize, usage};
use crate::{
    error::Error,
    money::{Tier, Usage},
    operation::embed::{EmbedReply, Input},
};

/// The body of Marengo 2.7, which is flat.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Flat<'a> {
    input_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_text: Option<&'a str>,
    /// `none` rejects a text that is too long. Truncation would silently embed only its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_truncate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_source: Option<MediaSource<'a>>,
}

/// The body of Marengo 3.0, which has the input in a member named like its type.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Nested<'a> {
    input_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Text<'a> {
    input_text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image<'a> {
    media_source: MediaSource<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MediaSource<'a> {
    base64_string: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    data: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    embedding: Vec<f32>,
}

/// Encodes a request to Marengo 2.7.
pub fn marengo_2(batch: &Batch<'_>) -> Encoded {
    let body = match batch.inputs.first() {
        Some(Input::Image(image)) => Flat {
            input_type: "image",
            media_source: Some(MediaSource {
                base64_string: &image.data,
            }),
            ..Flat::default()
        },
        text => Flat {
            input_type: "text",
            input_text: Some(as_text(text)),
            text_truncate: Some("none"),
            ..Flat::default()
        },
    };
    Ok((serialize(&body)?, decoder(batch)))
}

/// Encodes a request to Marengo 3.0.
pub fn marengo_3(batch: &Batch<'_>) -> Encoded {
    let body = match batch.inputs.first() {
        Some(Input::Image(image)) => Nested {
            input_type: "image",
            image: Some(Image {
                media_source: MediaSource {
                    base64_string: &image.data,
                },
            }),
            ..Nested::default()
        },
        text => Nested {
            input_type: "text",
            text: Some(Text {
                input_text: as_text(text),
            }),
            ..Nested::default()
        },
    };
    Ok((serialize(&body)?, decoder(batch)))
}

fn as_text(input: Option<&Input>) -> &str {
    match input {
        Some(Input::Text(text)) => text,
        Some(Input::Image(_)) | None => "",
    }
}

fn decoder(batch: &Batch<'_>) -> Box<dyn EmbedDecoder> {
    Box::new(Marengo(SentBatch::of(batch)))
}

struct Marengo(SentBatch);

impl EmbedDecoder for Marengo {
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<EmbedReply, Error> {
        let Reply { data } = parse(body)?;
        let vector = data.into_iter().next();
        let vector = vector.ok_or_else(|| malformed("no `data`"))?.embedding;
        // The tokens are only information: a text is billed as a query, an image as an image. So the cost is no estimate.
        let mut usage = Usage {
            queries: self.0.count as u64 - self.0.images,
            estimated: false,
            ..usage(None, headers, &self.0)
        };
        let price = self.0.price.as_ref();
        usage.cost = price.and_then(|price| price.cost(&usage, Tier::Standard));
        Ok(EmbedReply {
            vectors: self.0.validated(vec![vector])?,
            usage,
        })
    }
}
