//! Parses and validates embedding requests.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    call::Warnings,
    edge::body,
    error::Error,
    openai::{
        embedding::{EmbeddingRequest, MAX_INPUTS},
        texts::Texts,
    },
    operation::embed::{Embed, Image, Input, Purpose},
};

/// Parses and validates a request. Returns the operation, the name of the model, and whether vectors are returned as
/// Base64.
///
/// # Errors
/// 400 with the invalid member.
pub fn embedding(bytes: &[u8], warnings: &Warnings) -> Result<(Embed, String, bool), Error> {
    let request: EmbeddingRequest = body::parse(bytes, warnings)?;
    let base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let text = "'encoding_format' must be 'float' or 'base64'.";
            return Err(Error::invalid("encoding_format", text));
        }
    };
    if request.dimensions == Some(0) {
        return Err(Error::invalid(
            "dimensions",
            "'dimensions' must be at least 1.",
        ));
    }
    let (inputs, is_list) = inputs(request.input)?;
    let embed = Embed {
        inputs,
        is_list,
        dimensions: request.dimensions,
        purpose: purpose(request.input_type.as_deref())?,
        user: request.user,
        max_cost: body::max_cost(request.max_cost_usd.as_deref())?,
    };
    Ok((embed, request.model, base64))
}

fn purpose(word: Option<&str>) -> Result<Option<Purpose>, Error> {
    let Some(word) = word else {
        return Ok(None);
    };
    let known = Purpose::ALL.iter().find(|(name, _)| *name == word);
    known.map(|(_, purpose)| Some(*purpose)).ok_or_else(|| {
        let names: Vec<String> = Purpose::ALL
            .iter()
            .map(|(name, _)| format!("'{name}'"))
            .collect();
        Error::invalid(
            "input_type",
            format!("'input_type' must be one of {}.", names.join(", ")),
        )
    })
}

fn inputs(texts: Texts<MAX_INPUTS>) -> Result<(Vec<Input>, bool), Error> {
    let Texts::Text { texts, is_list } = texts else {
        let text = "Token inputs are not supported, because Bedrock takes text. Send strings. \
                    For LangChain's OpenAIEmbeddings, set check_embedding_ctx_length=False.";
        return Err(Error::invalid("input", text).with_code("unsupported_parameter"));
    };
    if texts.is_empty() {
        return Err(Error::invalid(
            "input",
            "'input' must have at least one input.",
        ));
    }
    let at = |index: usize| match is_list {
        true => format!("input[{index}]"),
        false => "input".to_owned(),
    };
    let input = |(index, text)| input(text, || at(index));
    let inputs = texts.into_iter().enumerate().map(input);
    Ok((inputs.collect::<Result<_, _>>()?, is_list))
}

/// Parses one input: a data URL of an image, for models that embed images, or else text.
fn input(text: String, at: impl Fn() -> String) -> Result<Input, Error> {
    if text.trim().is_empty() {
        return Err(Error::invalid(at(), "The input is empty."));
    }
    let Some(image) = text.strip_prefix("data:image/") else {
        return Ok(Input::Text(text));
    };
    let formats = ["png", "jpeg", "gif", "webp"];
    let (format, data) = image.split_once(";base64,").unwrap_or_default();
    let Some(format) = formats.into_iter().find(|known| *known == format) else {
        let text = "An image must be a data URL of PNG, JPEG, GIF or WebP in Base64.";
        return Err(Error::invalid(at(), text));
    };
    if data.is_empty() || STANDARD.decode(data).is_err() {
        let text = "The image data is not valid Base64.";
        return Err(Error::invalid(at(), text).with_code("invalid_base64"));
    }
    Ok(Input::Image(Image {
        format,
        data: data.to_owned(),
    }))
}
