//! Cohere Embed: a list of texts, images or mixed inputs, for one vector each.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    Embeddings, Family, tokens,
    vectors::{quantized, unit_vector},
};
use crate::simulator::ServiceError;

/// The image sizes, in pixels, between which the model scales (user guide, Embed v4).
const MIN_PIXELS: usize = 3136;
const MAX_PIXELS: usize = 2_458_624;

/// Four tokens for this many pixels (user guide, Embed v4).
const PIXELS: usize = 784;

/// # Errors
/// `ValidationException` if a text is too long and must not be truncated, or `input_type` does not fit the inputs.
pub fn embed(family: &Family, body: &Value) -> Result<Embeddings, ServiceError> {
    let list = |member: &str| body[member].as_array().into_iter().flatten();
    let is_image = body["input_type"] == "image";
    if is_image != body["images"].is_array() && family.is_cohere_v3() {
        return Err(ServiceError::validation(
            "input_type 'image' must be used with images, and with images only.",
        ));
    }
    let mut inputs: Vec<Vec<Part<'_>>> = Vec::new();
    inputs.extend(
        list("texts")
            .filter_map(Value::as_str)
            .map(|text| vec![Part::Text(text)]),
    );
    inputs.extend(
        list("images")
            .filter_map(Value::as_str)
            .map(|uri| vec![Part::image(uri)]),
    );
    inputs.extend(list("inputs").map(|input| {
        let content = input["content"].as_array().into_iter().flatten();
        content.filter_map(Part::of).collect()
    }));
    let limit = family.max_tokens.min(
        usize::try_from(body["max_tokens"].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX),
    );
    let truncates = body["truncate"]
        .as_str()
        .is_some_and(|truncate| truncate != "NONE");
    let mut input_tokens = 0;
    for input in &inputs {
        let own: usize = input.iter().map(Part::tokens).sum();
        if own > limit && !truncates {
            return Err(ServiceError::validation(
                "Input is too long for requested model.",
            ));
        }
        input_tokens += own.min(limit);
    }
    let dimension = family.dimension_or(body["output_dimension"].as_u64());
    let vectors: Vec<Vec<f32>> = inputs
        .iter()
        .map(|input| unit_vector(&Part::key(input), dimension))
        .collect();
    Ok(Embeddings {
        reply: reply(body, &vectors),
        input_tokens,
    })
}

fn reply(body: &Value, vectors: &[Vec<f32>]) -> Value {
    let mut reply = json!({"id": "00000000-0000-4000-8000-00000000e3bd"});
    for member in ["texts", "inputs"]
        .into_iter()
        .filter(|member| body[*member].is_array())
    {
        reply[member] = body[member].clone();
    }
    let Some(types) = body["embedding_types"].as_array() else {
        reply["embeddings"] = json!(vectors);
        reply["response_type"] = "embeddings_floats".into();
        return reply;
    };
    let by_type = types
        .iter()
        .filter_map(Value::as_str)
        .map(|embedding_type| {
            let vectors = vectors
                .iter()
                .map(|vector| quantized(vector, embedding_type));
            (embedding_type.to_owned(), vectors.collect())
        });
    reply["embeddings"] = Value::Object(by_type.collect::<Map<_, Value>>());
    reply["response_type"] = "embeddings_by_type".into();
    reply
}

/// A part of an input.
enum Part<'a> {
    Text(&'a str),
    Image(Vec<u8>),
}

impl<'a> Part<'a> {
    fn of(content: &'a Value) -> Option<Self> {
        let text = content["text"].as_str().map(Self::Text);
        text.or_else(|| content["image_url"]["url"].as_str().map(Self::image))
    }

    fn image(data_uri: &str) -> Self {
        let data = data_uri.split_once(',').map_or("", |(_, data)| data);
        Self::Image(STANDARD.decode(data).unwrap_or_default())
    }

    fn tokens(&self) -> usize {
        match self {
            Self::Text(text) => tokens(text),
            Self::Image(image) => imagesize::blob_size(image).map_or(0, |size| {
                (size.width * size.height).clamp(MIN_PIXELS, MAX_PIXELS) * 4 / PIXELS
            }),
        }
    }

    fn key(parts: &[Self]) -> Vec<u8> {
        let bytes = parts.iter().map(|part| match part {
            Self::Text(text) => text.as_bytes(),
            Self::Image(image) => image.as_slice(),
        });
        bytes.collect::<Vec<_>>().concat()
    }
}
