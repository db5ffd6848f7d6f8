//! The embed operation: turns texts and images into vectors.

mod reply;

pub use reply::EmbedReply;

use super::{
    Operation, expansion,
    input_only::{self, InputOnly},
    not_served,
};
use crate::{
    call::{Caller, Delivery, Plan, Route},
    error::Error,
    model::{Embed as Facts, EmbedFamily, Model},
    money::{NanoUsd, WorstCase},
};

/// A request to embed inputs.
#[derive(Clone, Debug, Default)]
pub struct Embed {
    pub inputs: Vec<Input>,
    /// The client sent a list, so an error names an input by its index.
    pub is_list: bool,
    /// The size of the vectors. If `None`, the model's default.
    pub dimensions: Option<u32>,
    /// The purpose of the vectors, as Cohere's `input_type`. If `None`, the default.
    pub purpose: Option<Purpose>,
    pub user: Option<String>,
    pub max_cost: Option<NanoUsd>,
}

/// A text or an image to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Text(String),
    Image(Image),
}

/// An image to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `png`, `jpeg`, `gif` or `webp`.
    pub format: &'static str,
    /// The bytes of the image, as Base64.
    pub data: String,
}

/// The purpose of the vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    SearchDocument,
    SearchQuery,
    Classification,
    Clustering,
}

impl Purpose {
    /// The values of `input_type`.
    pub const ALL: [(&'static str, Self); 4] = [
        ("search_document", Self::SearchDocument),
        ("search_query", Self::SearchQuery),
        ("classification", Self::Classification),
        ("clustering", Self::Clustering),
    ];
}

impl EmbedFamily {
    /// The most texts of one request to the service.
    pub fn batch(self) -> usize {
        match self {
            Self::CohereV3 | Self::CohereV4 => 96,
            Self::TitanV1
            | Self::TitanV2
            | Self::TitanMultimodal
            | Self::NovaMultimodal
            | Self::Marengo2
            | Self::Marengo3 => 1,
        }
    }

    /// Reports whether the family makes different vectors for queries and for documents.
    pub fn distinguishes_purposes(self) -> bool {
        matches!(self, Self::CohereV3 | Self::CohereV4 | Self::NovaMultimodal)
    }

    /// Reports whether the family embeds images that are billed per image.
    pub fn takes_images(self) -> bool {
        matches!(
            self,
            Self::TitanMultimodal | Self::NovaMultimodal | Self::Marengo2 | Self::Marengo3
        )
    }

    /// Reports whether a text is billed as a query instead of by its tokens.
    pub fn bills_queries(self) -> bool {
        matches!(self, Self::Marengo2 | Self::Marengo3)
    }

    /// The longest text that the service accepts, in Unicode code points, if it limits the length in characters.
    pub fn max_chars(self) -> Option<usize> {
        match self {
            Self::CohereV3 => Some(2048),
            Self::TitanV1 | Self::TitanV2 => Some(50_000),
            Self::CohereV4
            | Self::TitanMultimodal
            | Self::NovaMultimodal
            | Self::Marengo2
            | Self::Marengo3 => None,
        }
    }
}

impl Embed {
    /// Splits the inputs into the requests to the service, in order. A request contains texts or one image.
    pub fn batches(&self, family: EmbedFamily) -> Vec<&[Input]> {
        let same = |a: &Input, b: &Input| matches!((a, b), (Input::Text(_), Input::Text(_)));
        self.inputs
            .chunk_by(same)
            .flat_map(|run| run.chunks(family.batch()))
            .collect()
    }

    /// The path of an input in the request, for errors.
    pub fn at(&self, index: usize) -> String {
        match self.is_list {
            true => format!("input[{index}]"),
            false => "input".to_owned(),
        }
    }

    /// # Errors
    /// 400 for a size that the model does not support.
    fn check_dimensions(&self, facts: &Facts) -> Result<(), Error> {
        let Some(dimensions) = self
            .dimensions
            .filter(|size| !facts.dimensions.contains(size))
        else {
            return Ok(());
        };
        let sizes: Vec<String> = facts.dimensions.iter().map(u32::to_string).collect();
        let text = format!(
            "'dimensions' is {dimensions}; this model supports {}.",
            sizes.join(", ")
        );
        Err(Error::invalid("dimensions", text))
    }

    /// # Errors
    /// 400 `unsupported_content` for an image, or `context_length_exceeded` for a text over the family's limit.
    fn check_inputs(&self, family: EmbedFamily) -> Result<(), Error> {
        for (index, input) in self.inputs.iter().enumerate() {
            match (input, family.max_chars()) {
                (Input::Image(_), _) if !family.takes_images() => {
                    let text = "This model does not support images through this gateway.";
                    let error = Error::invalid(self.at(index), text);
                    return Err(error.with_code("unsupported_content"));
                }
                (Input::Text(text), Some(most)) if text.chars().count() > most => {
                    let count = text.chars().count();
                    let text = format!(
                        "The text has {count} characters; this model accepts at most {most}. Split it."
                    );
                    let error = Error::invalid(self.at(index), text);
                    return Err(error.with_code("context_length_exceeded"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn has_text(&self) -> bool {
        self.inputs
            .iter()
            .any(|input| matches!(input, Input::Text(_)))
    }

    fn images(&self) -> u64 {
        self.inputs
            .iter()
            .filter(|input| matches!(input, Input::Image(_)))
            .count() as u64
    }
}

/// The most tokens of an input. A token is at least one byte of normalized text, and the service does not accept or bill
/// more than the model's limit.
fn most_tokens(input: &Input, facts: &Facts) -> u64 {
    match input {
        // Two more for the tokens that mark the start and the end of the text.
        Input::Text(text) => {
            ((text.len() + expansion::of_text(text)) as u64 + 2).min(facts.max_tokens)
        }
        Input::Image(_) => 0,
    }
}

impl Operation for Embed {
    type Reply = EmbedReply;
    const NAME: &'static str = "embeddings";
    const SIZE_MEMBER: &'static str = "input";

    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error> {
        let facts = embeds(model)?;
        self.check_dimensions(facts)?;
        self.check_inputs(facts.family)?;
        let sum = |batch: &[Input]| {
            batch
                .iter()
                .map(|input| most_tokens(input, facts))
                .sum::<u64>()
        };
        let batches: Vec<u64> = self.batches(facts.family).into_iter().map(sum).collect();
        Ok(Plan {
            route: Route::Invoke,
            reason: None,
            delivery: Delivery::Whole,
            worst: WorstCase {
                input_tokens: batches.iter().copied().max().unwrap_or_default(),
                total_input_tokens: Some(batches.iter().sum()),
                requests: u32::try_from(batches.len()).unwrap_or(u32::MAX),
                images: self.images(),
                queries: u64::from(facts.family.bills_queries() && self.has_text()),
                fees: input_only::most_of_guardrail(self, model, caller),
                ..WorstCase::default()
            },
            compiles: None,
            visible: false,
        })
    }

    fn likely_tokens(&self, _: &Model) -> u64 {
        let bytes = |input: &Input| match input {
            Input::Text(text) => text.len() as u64,
            Input::Image(_) => 0,
        };
        self.inputs.iter().map(bytes).sum::<u64>().div_ceil(4)
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        self.max_cost
    }

    fn cost_advice(&self) -> &'static str {
        "Send fewer or shorter inputs"
    }
}

impl InputOnly for Embed {
    const NOT_APPLIED: &'static str = "bedrock.guardrail: not applied (embeddings have only an input; the operator can set its `apply`)";

    fn texts(&self) -> Vec<&str> {
        let texts = self.inputs.iter().map(|input| match input {
            Input::Text(text) => text.as_str(),
            // Keeps the positions of the texts.
            Input::Image(_) => "",
        });
        texts.collect()
    }

    fn images(&self) -> Vec<&str> {
        let images = self.inputs.iter().filter_map(|input| match input {
            Input::Image(image) => Some(image.data.as_str()),
            Input::Text(_) => None,
        });
        images.collect()
    }

    fn replace_texts(&mut self, texts: Vec<Option<String>>) {
        for (input, text) in self.inputs.iter_mut().zip(texts) {
            if let (Input::Text(own), Some(text)) = (input, text) {
                *own = text;
            }
        }
    }
}

/// Returns the facts about the embeddings of `model`.
///
/// # Errors
/// 404 if the model does not produce embeddings, or not in a form that the gateway supports.
pub fn embeds(model: &Model) -> Result<&Facts, Error> {
    match &model.facts.embed {
        Some(embed) => Ok(embed),
        None if model.facts.modality == "embedding" => Err(not_served(
            "This gateway does not support this embedding model yet.",
        )),
        None if model.base.is_none() => Err(not_served(
            "This gateway does not know this model, so it cannot use it for embeddings. Use a model id of \
             Bedrock, or ask the operator to set base_model.",
        )),
        None => Err(not_served(format!(
            "This model is for {}; it does not produce embeddings.",
            model.facts.modality.replace('_', " ")
        ))),
    }
}
