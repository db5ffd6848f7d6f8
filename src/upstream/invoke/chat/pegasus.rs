//! TwelveLabs Pegasus: one prompt about one video. The model knows no earlier turns.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-pegasus.html>

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    Writer,
    body::Body,
    reply::{Reader, Reply},
};
use crate::{
    bedrock::{
        content::{ContentBlock, GuardrailConverseContentBlock, MediaSource},
        request::ConverseRequest,
    },
    error::Error,
    upstream::invoke::{malformed, parse},
};

/// Returns the body of a request.
///
/// # Errors
/// 400 if the conversation is not one turn with a text and a video.
pub fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let [turn] = request.messages.as_slice() else {
        return Err(unsupported(
            "This model answers one message about one video; it knows no earlier turns. Send one message of the user.",
        ));
    };
    let (mut texts, mut videos) = (Vec::new(), Vec::new());
    for block in &turn.content {
        match block {
            ContentBlock::Text(text) => texts.push(text.as_ref()),
            ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => {
                texts.push(text.text.as_ref());
            }
            ContentBlock::Video(video) => videos.push(video),
            // The facts of this route have no other content.
            _ => {}
        }
    }
    let ([video], false) = (videos.as_slice(), texts.is_empty()) else {
        return Err(unsupported(
            "This model answers a text about a video. Send exactly one part of type 'video_url', and a text.",
        ));
    };
    let mut body = Body::default();
    body.set("inputPrompt", &texts.join("\n\n"))?;
    let source = match &video.source {
        MediaSource::Bytes(data) => json!({"base64String": data}),
        MediaSource::S3Location(location) => json!({"s3Location": location}),
    };
    body.set("mediaSource", &source)?;
    if let Some(config) = &request.inference_config {
        body.set_some("temperature", config.temperature)?;
        body.set_some("maxOutputTokens", config.max_tokens)?;
        if config.top_p.is_some() {
            writer
                .warnings
                .dropped("top_p", "this model does not support it");
        }
    }
    if let Some(format) = &request.output_config.text_format {
        let schema = &format.structure.json_schema.schema;
        let schema: Box<RawValue> =
            serde_json::from_str(schema).unwrap_or_else(|_| RawValue::NULL.to_owned());
        body.set("responseFormat", &json!({"jsonSchema": schema}))?;
    }
    body.extend(&request.additional_model_request_fields)?;
    Ok(body)
}

fn unsupported(text: &'static str) -> Error {
    Error::invalid("messages", text).with_code("unsupported_content")
}

/// Reads replies, and events, which have fragments of the message.
pub struct Pegasus;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    message: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

impl Pegasus {
    /// Reads a reply or an event. Returns whether it has text.
    fn read(body: &[u8], reply: &mut Reply) -> Result<bool, Error> {
        let Generated {
            message,
            finish_reason,
        } = parse(body)?;
        let has_text = message.is_some();
        reply.text(message.unwrap_or_default());
        match finish_reason.as_deref() {
            None => {}
            Some("stop") => reply.stop("end_turn", None),
            Some("length") => reply.stop("max_tokens", None),
            Some(other) => reply.stop(other, None),
        }
        Ok(has_text)
    }
}

impl Reader for Pegasus {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        if !Self::read(body, reply)? {
            return Err(malformed("no `message`"));
        }
        if !reply.is_stopped() {
            reply.stop("end_turn", None);
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        Self::read(event, reply).map(drop)
    }
}
