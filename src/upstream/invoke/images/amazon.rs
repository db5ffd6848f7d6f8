//! Amazon Nova Canvas and Titan Image Generator.
//! <https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html>

use serde::Deserialize;
use serde_json::{Value, json};

use super::{filtered, image};
use crate::{
    call::Warnings,
    error::Error,
    money::Usage,
    operation::draw::{Draw, Image},
    upstream::{fan_out::Billed, invoke::parse},
};

#[derive(Deserialize)]
struct Reply {
    /// `null` or absent if no image was made.
    #[serde(default)]
    images: Option<Vec<String>>,
    /// Why images are missing.
    #[serde(default)]
    error: Option<String>,
}

/// Builds the body of a request: an image from a text, or a variation of an image, without the seed.
pub fn body(draw: &Draw, warnings: &Warnings) -> Value {
    // Another quality has another price, which is not known.
    let mut config = json!({"numberOfImages": 1, "quality": "standard"});
    if let Some(size) = draw.size {
        config["width"] = size.width.into();
        config["height"] = size.height.into();
    }
    let mut params = json!({"text": draw.prompt});
    for (name, value) in &draw.controls {
        match name.as_str() {
            "seed" => {}
            "negative_prompt" => params["negativeText"] = value.clone(),
            name => warnings.dropped(name.to_owned(), "this model does not take it"),
        }
    }
    let (task, member) = match draw.is_edit {
        true => ("IMAGE_VARIATION", "imageVariationParams"),
        false => ("TEXT_IMAGE", "textToImageParams"),
    };
    if draw.is_edit {
        let images = draw.images.iter().map(|image| image.data.as_str());
        params["images"] = images.collect::<Vec<_>>().into();
    }
    json!({"taskType": task, member: params, "imageGenerationConfig": config})
}

/// Reads the reply to a request with this usage.
///
/// # Errors
/// If the reply has no image.
pub fn read(body: &[u8], usage: Usage) -> Result<Billed<Image>, Error> {
    let Reply { images, error } = parse(body)?;
    match error {
        Some(error) => Ok(filtered(error.trim_end_matches('.'), usage)),
        None => image(images.unwrap_or_default(), usage),
    }
}
