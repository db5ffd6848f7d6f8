//! The codec for ApplyGuardrail with the operator's guardrail, which also evaluates images.

use serde::Deserialize;
use serde_json::Value;

use super::{Codec, ModerationDecoder, Request, failure};
use crate::{
    bedrock::guardrail::ApplyGuardrailReply,
    call::Call,
    catalogue,
    error::{Error, Kind},
    model::Guardrail,
    money::NanoUsd,
    operation::moderate::{Block, Category, Moderate, Verdict, pieces},
    upstream::guardrail::{APPLY, Case, Content, Source, most, wire},
};

/// The codec for ApplyGuardrail.
pub struct NamedGuardrail;

impl Codec<Moderate> for NamedGuardrail {
    fn encode(
        &self,
        call: &Call<Moderate>,
    ) -> Result<Vec<(Request, Box<dyn ModerationDecoder>)>, Error> {
        let guardrail = call.model.options.guardrail.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "The gateway planned a guardrail that is not configured.",
            )
        })?;
        // Only the full trace has the confidence of filters that did not intervene.
        let guardrail = Guardrail {
            trace: Some("enabled_full".to_owned()),
            ..guardrail.clone()
        };
        let requests = pieces(&call.body.inputs).into_iter().map(|piece| {
            let content: Vec<Content<'_>> = piece.blocks.iter().map(content).collect();
            let request = wire::encode(Case {
                guardrail: &guardrail,
                model: &call.model,
                trace: &call.trace,
                source: Source::Input,
                content: &content,
            })?;
            let decoder = GuardrailDecoder {
                input: piece.input,
                most: most(&content),
            };
            Ok((request, Box::new(decoder) as Box<dyn ModerationDecoder>))
        });
        requests.collect()
    }
}

fn content<'a>(block: &Block<'a>) -> Content<'a> {
    match *block {
        Block::Text(text) => Content::Text(text),
        Block::Image { format, data } => Content::Image { format, data },
    }
}

struct GuardrailDecoder {
    input: usize,
    most: NanoUsd,
}

/// The members of a content filter's assessment that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    r#type: String,
    /// `NONE`, `LOW`, `MEDIUM` or `HIGH`.
    confidence: String,
    /// `BLOCKED` or `NONE`.
    action: String,
    /// The filter found something, whatever it does about it.
    detected: bool,
}

impl ModerationDecoder for GuardrailDecoder {
    fn input(&self) -> usize {
        self.input
    }

    fn most(&self) -> NanoUsd {
        self.most
    }

    fn read(&self, body: &[u8]) -> Result<(Verdict, NanoUsd), Error> {
        let reply: ApplyGuardrailReply = serde_json::from_slice(body).map_err(|error| {
            let (kind, column) = (error.classify(), error.column());
            failure::malformed(APPLY, &format!("{kind:?} at column {column}"))
        })?;
        let cost = catalogue::guardrail_price().cost(&reply.usage);
        let mut verdict = Verdict::default();
        for filter in reply.assessments.iter().flat_map(filters) {
            if let Some(category) = Category::of_bedrock(&filter.r#type) {
                let is_found = filter.detected || filter.action == "BLOCKED";
                verdict.add(category, score(&filter.confidence), is_found);
            }
        }
        // Topics, words and personal data have no category. A mask is no reason to flag.
        let intervenes = reply.action != "NONE";
        let only_masks = wire::has_action(&reply.assessments, "ANONYMIZED")
            && !wire::has_action(&reply.assessments, "BLOCKED");
        verdict.is_flagged |= intervenes && !only_masks;
        Ok((verdict, cost))
    }
}

fn filters(assessment: &Value) -> Vec<Filter> {
    let filters = assessment["contentPolicy"]["filters"].as_array();
    let filters = filters.into_iter().flatten();
    filters
        .filter_map(|filter| Filter::deserialize(filter).ok())
        .collect()
}

/// The score of a confidence. Guardrails have no finer ones.
fn score(confidence: &str) -> f64 {
    match confidence {
        "LOW" => 0.33,
        "MEDIUM" => 0.66,
        "HIGH" => 1.0,
        _ => 0.0,
    }
}
