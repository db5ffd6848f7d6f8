//! The files and members of a form.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::{
    edge::form::Part,
    error::{Error, Kind},
    openai::image::{FLAGS, NUMBERS},
    operation::draw::SourceImage,
};

/// The most images of a form; OpenAI's limit.
const MAX_IMAGES: usize = 16;

/// The position of the color type in a PNG, and the types with an alpha channel.
const COLOR_TYPE: usize = 25;
const WITH_ALPHA: [u8; 2] = [4, 6];

/// A form, as JSON and files.
pub struct Form {
    /// The members that are no files, as a JSON object.
    pub members: Vec<u8>,
    pub images: Vec<SourceImage>,
    pub mask: Option<SourceImage>,
}

/// Sorts the parts of a form.
///
/// # Errors
/// 400 with the name of an invalid part.
pub fn form(parts: &[Part<'_>]) -> Result<Form, Error> {
    let mut members = Map::new();
    let mut images = Vec::new();
    let mut mask = None;
    for part in parts {
        match part.name {
            "image" | "image[]" => images.push(image(part, "image")?),
            "mask" if mask.is_some() => {
                let text = "The form has 'mask' more than once; it applies to the first image.";
                return Err(Error::invalid("mask", text));
            }
            "mask" => mask = Some(image(part, "mask")?),
            name if part.is_file => {
                let text =
                    format!("'{name}' is a file, and the only files are 'image' and 'mask'.");
                return Err(Error::invalid(name, text).with_code("unsupported_parameter"));
            }
            name => {
                let value = value(name, part.content)?;
                if members.insert(name.to_owned(), value).is_some() {
                    let text = format!("The form has '{name}' more than once.");
                    return Err(Error::invalid(name, text));
                }
            }
        }
    }
    if images.is_empty() {
        let text = "The form has no file 'image'.";
        return Err(Error::invalid("image", text).with_code("missing_required_parameter"));
    }
    if images.len() > MAX_IMAGES {
        let text = format!("The form has more than {MAX_IMAGES} images.");
        return Err(Error::invalid("image", text));
    }
    let members = serde_json::to_vec(&members).map_err(|error| {
        Error::new(Kind::Internal, "The gateway could not read the form.")
            .with_detail(error.to_string())
    })?;
    Ok(Form {
        members,
        images,
        mask,
    })
}

/// The JSON value of a text: a form has no other types.
fn value(name: &str, content: &[u8]) -> Result<Value, Error> {
    let text = str::from_utf8(content)
        .map_err(|_| Error::invalid(name, format!("'{name}' is not UTF-8.")))?;
    if NUMBERS.contains(&name) || FLAGS.contains(&name) {
        // The parser of the members reports what is no number.
        let value = serde_json::from_str(text.trim()).ok();
        let is_plain = |value: &Value| value.is_number() || value.is_boolean();
        return Ok(value.filter(is_plain).unwrap_or_else(|| text.into()));
    }
    Ok(text.into())
}

/// Reads a file.
///
/// # Errors
/// 400 if it is no PNG, JPEG or WebP.
fn image(part: &Part<'_>, name: &str) -> Result<SourceImage, Error> {
    let bytes = part.content;
    let format = infer::get(bytes).map(|kind| kind.mime_type());
    let is_png = format == Some("image/png");
    if !is_png && !matches!(format, Some("image/jpeg" | "image/webp")) {
        let text = format!("'{name}' must be a file with a PNG, a JPEG or a WebP image.");
        return Err(Error::invalid(name, text).with_code("unsupported_content"));
    }
    let color = bytes.get(COLOR_TYPE);
    Ok(SourceImage {
        data: STANDARD.encode(bytes),
        has_alpha: is_png && color.is_some_and(|color| WITH_ALPHA.contains(color)),
    })
}
