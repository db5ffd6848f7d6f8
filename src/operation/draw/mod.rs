//! The draw operation: makes images from a text, or edits images.

mod reply;
mod size;

pub use reply::{DrawReply, Image};
pub use size::{RATIOS, Size};

use serde_json::{Map, Value};

use super::{
    Operation,
    input_only::{self, InputOnly},
    not_served,
};
use crate::{
    call::{Caller, Delivery, Plan, Route},
    error::Error,
    model::{Draw as Facts, DrawFamily, Model},
    money::{NanoUsd, WorstCase},
};

/// A request for images.
#[derive(Clone, Debug, Default)]
pub struct Draw {
    /// The client edits images. Otherwise it has them made from a text.
    pub is_edit: bool,
    pub prompt: String,
    /// The number of images. Each is a request to Bedrock.
    pub n: u32,
    /// If `None`, the model's default.
    pub size: Option<Size>,
    /// `png`, `jpeg` or `webp`. If `None`, the model's default.
    pub format: Option<String>,
    /// The images to edit.
    pub images: Vec<SourceImage>,
    /// Where to edit the first image: white is changed, black is kept.
    pub mask: Option<SourceImage>,
    /// Members that only some models have, by their name on Bedrock.
    pub controls: Map<String, Value>,
    pub user: Option<String>,
    pub max_cost: Option<NanoUsd>,
}

/// An image that the client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// The bytes of the image, as Base64.
    pub data: String,
    /// The image is a PNG with an alpha channel.
    pub has_alpha: bool,
}

impl Draw {
    /// The value of `member`, by its name on Bedrock, if the request has it.
    pub fn member(&self, member: &str) -> Option<Value> {
        let image = |index: usize| {
            self.images
                .get(index)
                .map(|image| image.data.clone().into())
        };
        match member {
            "prompt" => (!self.prompt.is_empty()).then(|| self.prompt.clone().into()),
            "image" | "init_image" => image(0),
            "style_image" => image(1),
            "mask" => self.mask.as_ref().map(|mask| mask.data.clone().into()),
            "output_format" => self.format.clone().map(Value::from),
            control => self.controls.get(control).cloned(),
        }
    }

    /// # Errors
    /// 400 with the first member that the model needs and the request lacks, or with what the model cannot honor.
    fn check(&self, model: &Model, facts: &Facts) -> Result<(), Error> {
        let most = model.options.max_n;
        if self.n > most {
            let text = format!(
                "'n' is {}; at most {most} images are allowed for this model.",
                self.n
            );
            return Err(Error::invalid("n", text));
        }
        for member in &facts.needs {
            if self.member(member).is_none() {
                return Err(missing(member));
            }
        }
        self.check_format(facts)?;
        self.check_seed(facts)?;
        let most = match facts.needs.iter().any(|member| member == "style_image") {
            true => 2,
            false => 1,
        };
        let count = self.images.len();
        if count > most {
            let text = format!("The request has {count} images; this model takes {most}.");
            return Err(Error::invalid("image", text));
        }
        match &self.mask {
            Some(_) if facts.family == DrawFamily::AmazonImage => {
                let text = "Masks are not supported for this model, whose masks are black where the image changes. Leave \
                            the mask out, or use a model of Stability AI.";
                Err(Error::invalid("mask", text).with_code("unsupported_parameter"))
            }
            Some(mask) if mask.has_alpha => {
                let text = "'mask' has an alpha channel, which Bedrock's models ignore. Send a mask in black and white \
                            without one (white: change, black: keep), or leave it out and make these areas of 'image' \
                            transparent.";
                Err(Error::invalid("mask", text))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// 400 for a seed that the model does not take.
    fn check_seed(&self, facts: &Facts) -> Result<(), Error> {
        let seed = self.controls.get("seed").and_then(Value::as_u64);
        match (seed, facts.max_seed) {
            (Some(seed), Some(most)) if seed > u64::from(most) => {
                let text = format!("'seed' is {seed}; this model takes at most {most}.");
                Err(Error::invalid("seed", text))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// 400 for a format that the model does not write.
    fn check_format(&self, facts: &Facts) -> Result<(), Error> {
        let Some(format) = &self.format else {
            return Ok(());
        };
        let is_default = facts.formats.is_empty() && format == "png";
        if is_default || facts.formats.contains(format) {
            return Ok(());
        }
        let known = match facts.formats.is_empty() {
            true => "png".to_owned(),
            false => facts.formats.join(", "),
        };
        let text = format!("'output_format' is '{format}'; this model writes {known}.");
        Err(Error::invalid("output_format", text))
    }
}

fn missing(member: &str) -> Error {
    let text = match member {
        "style_image" => {
            "This model needs two images: the one to edit, and the one whose style it takes."
                .to_owned()
        }
        _ => format!("This model needs '{member}'."),
    };
    let param = match member {
        "init_image" | "style_image" => "image",
        member => member,
    };
    Error::invalid(param, text).with_code("missing_required_parameter")
}

impl Operation for Draw {
    type Reply = DrawReply;
    const NAME: &'static str = "image_generation";
    const SIZE_MEMBER: &'static str = "prompt";

    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error> {
        let facts = draws(model, self.is_edit)?;
        self.check(model, facts)?;
        Ok(Plan {
            route: Route::Invoke,
            reason: None,
            delivery: Delivery::Whole,
            worst: WorstCase {
                output_images: 1,
                requests: self.n,
                fees: input_only::most_of_guardrail(self, model, caller),
                ..WorstCase::default()
            },
            compiles: None,
            visible: false,
        })
    }

    fn likely_tokens(&self, _: &Model) -> u64 {
        (self.prompt.len() as u64).div_ceil(4)
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        self.max_cost
    }

    fn cost_advice(&self) -> &'static str {
        "Request fewer images"
    }
}

/// The controls that are texts which describe an image.
const PROMPTS: [&str; 3] = ["negative_prompt", "search_prompt", "select_prompt"];

impl InputOnly for Draw {
    const NOT_APPLIED: &'static str = "bedrock.guardrail: not applied (a guardrail judges only the prompt and the images of a request for images; the operator can set its `apply`)";
    const OUTPUT_NOT_APPLIED: Option<&'static str> = Some(
        "bedrock.guardrail: not applied to the images that the model made (only to the input)",
    );

    fn texts(&self) -> Vec<&str> {
        let control = |name| self.controls.get(name).and_then(Value::as_str);
        let prompts = PROMPTS
            .iter()
            .map(|name| control(*name).unwrap_or_default());
        std::iter::once(self.prompt.as_str())
            .chain(prompts)
            .collect()
    }

    fn images(&self) -> Vec<&str> {
        let images = self.images.iter().chain(&self.mask);
        images.map(|image| image.data.as_str()).collect()
    }

    fn replace_texts(&mut self, texts: Vec<Option<String>>) {
        let mut texts = texts.into_iter();
        if let Some(Some(prompt)) = texts.next() {
            self.prompt = prompt;
        }
        for (name, text) in PROMPTS.iter().zip(texts) {
            if let Some(text) = text {
                self.controls.insert((*name).to_owned(), text.into());
            }
        }
    }
}

/// Returns the facts about the images of `model`.
///
/// # Errors
/// 404 if the model does not make images, or does not edit them.
pub fn draws(model: &Model, is_edit: bool) -> Result<&Facts, Error> {
    let Some(facts) = &model.facts.draw else {
        return Err(other(model));
    };
    match (facts.family, is_edit) {
        (DrawFamily::StabilityGenerate, true) => Err(not_served(
            "This model makes images from a text; it does not edit images. Send it to /v1/images/generations.",
        )),
        (DrawFamily::StabilityEdit, false) => Err(not_served(
            "This model edits images. Send it to /v1/images/edits, with an image.",
        )),
        _ => Ok(facts),
    }
}

fn other(model: &Model) -> Error {
    match model.facts.modality.as_str() {
        "image" | "image_edit" => not_served("This gateway does not support this image model."),
        _ if model.base.is_none() => not_served(
            "This gateway does not know this model, so it cannot use it for images. Use a model id of Bedrock, or ask the \
             operator to set base_model.",
        ),
        modality => not_served(format!(
            "This model is for {}; it does not make images.",
            modality.replace('_', " ")
        )),
    }
}
