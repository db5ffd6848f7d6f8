//! `[moderations]`.

use std::sync::Arc;

use super::{governance, models::Defaults, options, reader::Section};
use crate::{
    model::{Facts, Guardrail, Model, ModelOptions, Route, Target},
    money::{PicoUsd, Price},
    operation::moderate,
};

/// The score from which an input falls into a category, if the operator sets none.
const THRESHOLD: f64 = 0.4;

/// What stands for the ID of a model in replies and in the ledger, because guardrails have no model and the ID of the
/// operator's guardrail is private.
const CHECKS: &str = "guardrail-checks";
const GUARDRAIL: &str = "guardrail";

/// Reads the settings of the model for moderations.
pub fn moderations(mut section: Section<'_>, defaults: &Defaults, region: &str) -> Model {
    let own = section.string("region");
    let region = section.or_default("region", own, region.to_owned());
    let given = section.number("threshold", 0.0, 1.0);
    let threshold = section.or_default("threshold", given, THRESHOLD);
    let guardrail = section
        .has("guardrail")
        .then(|| section.section("guardrail"));
    let guardrail = guardrail.and_then(|mut section| {
        let both = options::guardrail_id(&mut section);
        section.finish();
        let (identifier, version) = both?;
        Some(Guardrail {
            identifier,
            version,
            trace: None,
            stream_processing_mode: None,
            show_trace: false,
            apply: None,
        })
    });
    let limits = governance::limits(&mut section);
    section.finish();
    let target = match guardrail {
        Some(_) => GUARDRAIL,
        None => CHECKS,
    };
    Model {
        base: Some(target.to_owned()),
        facts: Arc::new(Facts {
            modality: moderate::MODALITY.to_owned(),
            routes: vec![Route::GuardrailChecks, Route::ApplyGuardrail],
            ..Facts::default()
        }),
        // All of the cost is that of the guardrail.
        price: Some(Arc::new(Price::new(PicoUsd(0), PicoUsd(0)))),
        options: ModelOptions {
            moderation_threshold: threshold,
            guardrail,
            ..ModelOptions::default()
        },
        retry: defaults.retry,
        timeouts: defaults.timeouts,
        limits,
        ..Model::new(moderate::MODEL, Target::new(target, &region))
    }
}
