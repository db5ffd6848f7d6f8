//! Parses and validates requests for images.

use serde_json::{Map, Value};

use crate::{
    call::Warnings,
    edge::body,
    error::Error,
    openai::image::ImageRequest,
    operation::draw::{Draw, RATIOS, Size},
};

/// The most images of a request; OpenAI's limit.
const MAX_IMAGES: u32 = 10;

/// Parses and validates the members of a request. Returns the operation, without files, and the name of the model.
///
/// # Errors
/// 400 with the invalid member.
pub fn draw(bytes: &[u8], warnings: &Warnings) -> Result<(Draw, String), Error> {
    let request: ImageRequest = body::parse(bytes, warnings)?;
    check(&request)?;
    warn(&request, warnings);
    let n = request.n.unwrap_or(1);
    if !(1..=MAX_IMAGES).contains(&n) {
        let text = format!("'n' is {n}; it must be between 1 and {MAX_IMAGES}.");
        return Err(Error::invalid("n", text));
    }
    let draw = Draw {
        is_edit: false,
        n,
        size: size(request.size.as_deref())?,
        format: request.output_format.clone(),
        images: Vec::new(),
        mask: None,
        controls: controls(&request),
        user: request.user,
        max_cost: body::max_cost(request.max_cost_usd.as_deref())?,
        prompt: request
            .prompt
            .filter(|prompt| !prompt.trim().is_empty())
            .unwrap_or_default(),
    };
    Ok((draw, request.model))
}

fn size(text: Option<&str>) -> Result<Option<Size>, Error> {
    match text {
        None | Some("auto") => Ok(None),
        Some(text) => Size::parse(text).map(Some).ok_or_else(|| {
            let text = "'size' must be 'auto', or a width and a height such as '1024x1024'.";
            Error::invalid("size", text)
        }),
    }
}

/// # Errors
/// 400 for what would make the reply wrong.
fn check(request: &ImageRequest) -> Result<(), Error> {
    let unsupported = |param: &'static str, text: &'static str| {
        Err(Error::invalid(param, text).with_code("unsupported_parameter"))
    };
    let files = [
        ("image", &request.image),
        ("images", &request.images),
        ("mask", &request.mask),
    ];
    if let Some((member, _)) = files.iter().find(|(_, file)| file.is_some()) {
        let text = "Requests in JSON make images from a text. To edit an image, send it as the file 'image' of a form to \
                    /v1/images/edits.";
        return unsupported(member, text);
    }
    match request.response_format.as_deref() {
        None | Some("b64_json") => {}
        Some("url") => {
            let text = "The gateway stores no images, so it returns no URLs. Set 'response_format' to 'b64_json'.";
            return unsupported("response_format", text);
        }
        Some(_) => {
            let text = "'response_format' must be 'b64_json'.";
            return Err(Error::invalid("response_format", text));
        }
    }
    if request.stream == Some(true) {
        return unsupported("stream", "Images are not streamed. Omit 'stream'.");
    }
    if request.background.as_deref() == Some("transparent") {
        let text = "No model makes a transparent background on request. Use a model that removes backgrounds.";
        return unsupported("background", text);
    }
    let formats = ["png", "jpeg", "webp"];
    if let Some(format) = request.output_format.as_deref()
        && !formats.contains(&format)
    {
        let text = "'output_format' must be 'png', 'jpeg' or 'webp'.";
        return Err(Error::invalid("output_format", text));
    }
    if let Some(ratio) = request.aspect_ratio.as_deref()
        && !RATIOS.iter().any(|(name, ..)| *name == ratio)
    {
        let names = RATIOS.map(|(name, ..)| name).join(", ");
        let text = format!("'aspect_ratio' must be one of {names}.");
        return Err(Error::invalid("aspect_ratio", text));
    }
    Ok(())
}

/// Warns about members that Bedrock's models do not have.
fn warn(request: &ImageRequest, warnings: &Warnings) {
    let is_set = |value: &Option<String>, defaults: &[&str]| {
        let value = value.as_deref();
        value.is_some_and(|value| !defaults.contains(&value))
    };
    let no_such = "the models have no such parameter";
    for (member, given) in [
        (
            "quality",
            is_set(&request.quality, &["auto", "standard", "medium"]),
        ),
        ("style", request.style.is_some()),
        ("moderation", is_set(&request.moderation, &["auto"])),
        ("input_fidelity", request.input_fidelity.is_some()),
        (
            "output_compression",
            request.output_compression.is_some_and(|level| level != 100),
        ),
        (
            "partial_images",
            request.partial_images.is_some_and(|count| count > 0),
        ),
    ] {
        if given {
            warnings.dropped(member, no_such);
        }
    }
}

/// The members of the models, in the order of the wire type.
fn controls(request: &ImageRequest) -> Map<String, Value> {
    let text = |value: &Option<String>| value.clone().map(Value::from);
    let count = |value: Option<u32>| value.map(Value::from);
    let number = |value: &Option<serde_json::Number>| value.clone().map(Value::Number);
    let all = [
        ("aspect_ratio", text(&request.aspect_ratio)),
        ("negative_prompt", text(&request.negative_prompt)),
        ("search_prompt", text(&request.search_prompt)),
        ("select_prompt", text(&request.select_prompt)),
        ("style_preset", text(&request.style_preset)),
        ("seed", count(request.seed)),
        ("left", count(request.left)),
        ("right", count(request.right)),
        ("up", count(request.up)),
        ("down", count(request.down)),
        ("grow_mask", count(request.grow_mask)),
        ("creativity", number(&request.creativity)),
        ("control_strength", number(&request.control_strength)),
        ("fidelity", number(&request.fidelity)),
        (
            "composition_fidelity",
            number(&request.composition_fidelity),
        ),
        ("style_strength", number(&request.style_strength)),
        ("change_strength", number(&request.change_strength)),
    ];
    let given = all.into_iter();
    given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}
