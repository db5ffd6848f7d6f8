//! Media of a conversation.

use std::collections::HashMap;

use crate::{
    error::Error,
    openai::message::MediaUrl,
    operation::chat::{Media, MediaData, Part},
    upstream::{
        converse::Context,
        native::{
            body::{self, ImageUrl},
            model::unsupported,
        },
    },
};

/// Returns an image, or `None` for a part that is no medium.
///
/// # Errors
/// 400 for other media, and for an image that the model does not support.
pub fn media<'a>(
    part: &'a Part,
    cx: &Context<'_>,
    fetched: &HashMap<String, String>,
) -> Result<Option<body::Part<'a>>, Error> {
    let at = match part {
        Part::Image(one) => return image(one, cx, fetched).map(Some),
        Part::SearchResult(result) => &result.at,
        Part::File(file) => &file.at,
        Part::Video(video) => &video.at,
        Part::Audio(audio) => &audio.at,
        _ => return Ok(None),
    };
    Err(unsupported(
        at,
        "This model gets only text and images here. Send the content as text, or ask the gateway's operator for a model with `api = \"converse\"`.",
    ))
}

fn image<'a>(
    image: &'a Media<MediaUrl>,
    cx: &Context<'_>,
    fetched: &HashMap<String, String>,
) -> Result<body::Part<'a>, Error> {
    let at = format!("{}.image_url.url", image.at);
    if !cx.model.facts.image {
        let text = "This model does not support images.";
        return Err(Error::invalid(at, text).with_code("unsupported_content"));
    }
    let data = MediaData::of(&image.value.url, fetched, &at)?;
    let Some(format) = data.image_format() else {
        let text = "The image is not a PNG, JPEG, GIF or WebP.";
        return Err(Error::invalid(at, text));
    };
    let url = format!("data:image/{format};base64,{}", data.base64);
    let detail = image.value.detail.as_deref();
    Ok(body::Part::ImageUrl {
        image_url: ImageUrl { url, detail },
    })
}
