//! The operation that looks for harmful content in texts and images.

mod pieces;
mod reply;

use crate::{
    call::{Caller, Delivery, Plan, Route},
    catalogue,
    error::Error,
    model::Model,
    money::{MostUnits, NanoUsd, WorstCase},
    operation::{Operation, guarded, not_served},
};

pub use pieces::{Block, Piece, pieces};
pub use reply::{Category, ModerationReply, Verdict};

/// The name of the model for moderations, and the value of [`Facts::modality`](crate::model::Facts::modality) that no other
/// model has.
pub const MODEL: &str = "omni-moderation-latest";
pub const MODALITY: &str = "moderation";

/// OpenAI's other names of its models for moderations. Requests may send any of them.
pub const OTHER_NAMES: [&str; 4] = [
    "omni-moderation-2024-09-26",
    "text-moderation-latest",
    "text-moderation-stable",
    "text-moderation-007",
];

/// A request to moderate inputs.
#[derive(Clone, Debug, Default)]
pub struct Moderate {
    /// Each gets a verdict.
    pub inputs: Vec<Vec<Part>>,
    pub max_cost: Option<NanoUsd>,
}

/// A part of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Image {
        /// `png` or `jpeg`.
        format: &'static str,
        /// The bytes of the image, as Base64.
        data: String,
        /// The path in the request, for errors.
        at: String,
    },
}

impl Moderate {
    /// # Errors
    /// 400 for an image that only a guardrail can evaluate.
    fn check_images(&self) -> Result<(), Error> {
        let images = self.inputs.iter().flatten().find_map(|part| match part {
            Part::Image { at, .. } => Some(at),
            Part::Text(_) => None,
        });
        images.map_or(Ok(()), |at| {
            let text = "This gateway moderates only text. To moderate images, its operator must configure a guardrail.";
            Err(Error::invalid(at, text).with_code("unsupported_content"))
        })
    }
}

impl Operation for Moderate {
    type Reply = ModerationReply;
    const NAME: &'static str = "moderation";
    const SIZE_MEMBER: &'static str = "input";

    fn plan(&self, model: &Model, _: &Caller) -> Result<Plan, Error> {
        if model.facts.modality != MODALITY {
            return Err(not_served(format!(
                "This model does not moderate. Omit 'model', or send '{MODEL}'."
            )));
        }
        let pieces = pieces(&self.inputs);
        let mut units = MostUnits::default();
        for block in pieces.iter().flat_map(|piece| &piece.blocks) {
            match block {
                Block::Text(text) => units.text += guarded::units(text),
                Block::Image { .. } => units.images += 1,
            }
        }
        let (route, fees) = match model.options.guardrail {
            Some(_) => (Route::ApplyGuardrail, guarded::most(units, model)),
            None => {
                self.check_images()?;
                let attempts = u64::from(model.retry.attempts.max(1));
                let price = catalogue::content_check_price();
                let fees = price.0.saturating_mul(units.text).saturating_mul(attempts);
                (Route::GuardrailChecks, NanoUsd(fees))
            }
        };
        Ok(Plan {
            route,
            reason: None,
            delivery: Delivery::Whole,
            worst: WorstCase {
                requests: u32::try_from(pieces.len()).unwrap_or(u32::MAX),
                fees,
                ..WorstCase::default()
            },
            compiles: None,
            visible: false,
        })
    }

    fn likely_tokens(&self, _: &Model) -> u64 {
        let bytes = |part: &Part| match part {
            Part::Text(text) => text.len() as u64,
            Part::Image { .. } => 0,
        };
        let all = self.inputs.iter().flatten().map(bytes);
        all.sum::<u64>().div_ceil(4)
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        self.max_cost
    }

    fn cost_advice(&self) -> &'static str {
        "Send fewer or shorter inputs"
    }
}
