//! Stability AI's models: a flat body, whose members differ from model to model.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/stable-image-services.html>

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{filtered, image};
use crate::{
    call::Warnings,
    error::{Error, Kind, RetryAdvice},
    model::Draw as Facts,
    money::Usage,
    operation::draw::{Draw, Image},
    upstream::{fan_out::Billed, invoke::parse},
};

/// The `finish_reasons` of a failure that is no refusal.
const FAILURE: &str = "Inference error";

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    images: Vec<String>,
    /// `null` for each image that was made.
    #[serde(default)]
    finish_reasons: Vec<Option<String>>,
}

/// Builds the body of a request from the members that the model has, without the seed. Warns about all others.
pub fn body(draw: &Draw, facts: &Facts, warnings: &Warnings) -> Value {
    let mut body = Map::new();
    let members = facts.needs.iter().chain(&facts.takes);
    for member in members.filter(|member| *member != "seed") {
        if let Some(value) = draw.member(member) {
            body.insert(member.clone(), value);
        }
    }
    if !facts.formats.is_empty()
        && let Some(format) = &draw.format
    {
        body.insert("output_format".to_owned(), format.as_str().into());
    }
    let has = |member: &str| body.contains_key(member);
    let takes = |member: &str| facts.takes.iter().any(|own| own == member);
    let controls = draw.controls.keys().map(String::as_str);
    let given = controls.chain(draw.mask.as_ref().map(|_| "mask"));
    let given = given.chain((!draw.prompt.is_empty()).then_some("prompt"));
    let is_lost = |member: &&str| !(has(member) || *member == "seed" && takes("seed"));
    for member in given.filter(is_lost) {
        warnings.dropped(member.to_owned(), "this model does not take it");
    }
    if let Some(size) = draw.size {
        match takes("aspect_ratio") {
            true if has("aspect_ratio") => {
                warnings.dropped(
                    "size",
                    "'aspect_ratio' is set, and this model has only ratios",
                );
            }
            true => {
                let ratio = size.nearest_ratio();
                warnings.add(format!(
                    "size: only its ratio was used, as {ratio} (this model has ratios instead of sizes)"
                ));
                body.insert("aspect_ratio".to_owned(), ratio.into());
            }
            false => warnings.dropped("size", "the model decides the size by the image"),
        }
    }
    Value::Object(body)
}

/// Reads the reply to a request with this usage.
///
/// # Errors
/// If the reply has no image, or the model failed.
pub fn read(body: &[u8], usage: Usage) -> Result<Billed<Image>, Error> {
    let reply: Reply = parse(body)?;
    match reply.finish_reasons.into_iter().flatten().next() {
        None => image(reply.images, usage),
        Some(reason) if reason == FAILURE => Err(Error::new(
            Kind::Upstream,
            "The model failed while making the image.",
        )
        .with_code("model_error")
        .with_retry_advice(RetryAdvice::Often)
        .may_be_billed()),
        Some(reason) => Ok(filtered(&reason, usage)),
    }
}
