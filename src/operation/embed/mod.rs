//! The embed operation: texts or images go in, vectors come out in the same order.

mod reply;

pub use reply::EmbedReply;

use super::{Operation, not_served};
use crate::{
    call::{Caller, Delivery, Plan, Route},
    error::Error,
    model::{Embed as Facts, EmbedFamily, Model},
    money::{NanoUsd, WorstCase},
};

/// Inputs to embed, and how.
#[derive(Clone, Debug, Default)]
pub struct Embed {
    pub inputs: Vec<Input>,
    /// The client sent a list, so an error names an input by its place.
    pub is_list: bool,
    /// The size of the vectors; if `None`, the model's default.
    pub dimensions: Option<u32>,
    /// What the vectors are for, in Cohere's words; if `None`, the default.
    pub purpose: Option<Purpose>,
    pub user: Option<String>,
    pub max_cost: Option<NanoUsd>,
}

/// One thing to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Text(String),
    Image(Image),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `png`, `jpeg`, `gif` or `webp`.
    pub format: &'static str,
    /// Base64.
    pub data: String,
}

/// What the vectors are for.
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
    /// Texts of one request to the service.
    pub fn batch(self) -> usize {
        match self {
            Self::CohereV3 | Self::CohereV4 => 96,
            Self::TitanV1 | Self::TitanV2 | Self::TitanMultimodal | Self::NovaMultimodal => 1,
        }
    }

    /// The family makes other vectors for searching than for being found.
    pub fn distinguishes_purposes(self) -> bool {
        matches!(self, Self::CohereV3 | Self::CohereV4 | Self::NovaMultimodal)
    }

    /// The family embeds images, and their price is known by the piece.
    pub fn takes_images(self) -> bool {
        matches!(self, Self::TitanMultimodal | Self::NovaMultimodal)
    }

    /// The longest text, in Unicode code points, if the service bounds it.
    pub fn max_chars(self) -> Option<usize> {
        match self {
            Self::CohereV3 => Some(2048),
            Self::TitanV1 | Self::TitanV2 => Some(50_000),
            Self::CohereV4 | Self::TitanMultimodal | Self::NovaMultimodal => None,
        }
    }
}

impl Embed {
    /// The inputs of each request to the service, in order. A request holds texts or one image.
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

    fn images(&self) -> u64 {
        self.inputs
            .iter()
            .filter(|input| matches!(input, Input::Image(_)))
            .count() as u64
    }
}

/// The most tokens that an input can be: a token is at least one byte of text, and the service
/// neither takes nor bills more than the model's bound.
fn most_tokens(input: &Input, facts: &Facts) -> u64 {
    match input {
        // Begin and end of the text may be tokens of their own.
        Input::Text(text) => (text.len() as u64 + 2).min(facts.max_tokens),
        Input::Image(_) => 0,
    }
}

impl Operation for Embed {
    type Reply = EmbedReply;
    const NAME: &'static str = "embeddings";
    const SIZE_MEMBER: &'static str = "input";

    fn plan(&self, model: &Model, _: &Caller) -> Result<Plan, Error> {
        let facts = embeds(model)?;
        let sum = |batch: &[Input]| {
            batch
                .iter()
                .map(|input| most_tokens(input, facts))
                .sum::<u64>()
        };
        let batches: Vec<u64> = self.batches(facts.family).into_iter().map(sum).collect();
        Ok(Plan {
            route: Route::Invoke,
            delivery: Delivery::Whole,
            worst: WorstCase {
                input_tokens: batches.iter().copied().max().unwrap_or_default(),
                total_input_tokens: Some(batches.iter().sum()),
                requests: u32::try_from(batches.len()).unwrap_or(u32::MAX),
                images: self.images(),
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

/// What the model knows of embeddings.
///
/// # Errors
/// 404 if it makes none.
pub fn embeds(model: &Model) -> Result<&Facts, Error> {
    match &model.facts.embed {
        Some(embed) => Ok(embed),
        None if model.facts.modality == "embedding" => Err(not_served(
            "This gateway does not serve this embedding model yet.",
        )),
        None => Err(not_served(format!(
            "This model is for {}, not for embeddings.",
            model.facts.modality.replace('_', " ")
        ))),
    }
}
