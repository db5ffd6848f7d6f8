//! The codec for InvokeGuardrailChecks, which needs no guardrail.

use bytes::Bytes;

use super::{Codec, ModerationDecoder, Request, failure};
use crate::{
    bedrock::guardrail_checks::{
        ContentFilterCategory, ContentFilterCheck, GuardrailChecks, GuardrailChecksBlock,
        GuardrailChecksMessage, GuardrailChecksReply, GuardrailChecksRequest,
    },
    call::Call,
    catalogue,
    error::{Error, Kind},
    money::NanoUsd,
    operation::{
        guarded,
        moderate::{Block, Category, Moderate, Verdict, pieces},
    },
    upstream::ServiceOperation,
};

/// The operation's name in the log.
pub const INVOKE: &str = "InvokeGuardrailChecks";

/// The codec for InvokeGuardrailChecks.
pub struct Checks;

impl Codec<Moderate> for Checks {
    fn encode(
        &self,
        call: &Call<Moderate>,
    ) -> Result<Vec<(Request, Box<dyn ModerationDecoder>)>, Error> {
        let requests = pieces(&call.body.inputs).into_iter().map(|piece| {
            let texts: Vec<&str> = piece.blocks.iter().filter_map(text).collect();
            let decoder = ChecksDecoder {
                input: piece.input,
                units: texts.iter().map(|text| guarded::units(text)).sum(),
                threshold: call.model.options.moderation_threshold,
            };
            let request = Request {
                operation: ServiceOperation::InvokeGuardrailChecks,
                headers: Vec::new(),
                body: body(&texts)?,
            };
            Ok((request, Box::new(decoder) as Box<dyn ModerationDecoder>))
        });
        requests.collect()
    }
}

/// The plan rejects images.
fn text<'a>(block: &Block<'a>) -> Option<&'a str> {
    match *block {
        Block::Text(text) => Some(text),
        Block::Image { .. } => None,
    }
}

fn body(texts: &[&str]) -> Result<Bytes, Error> {
    let content = texts.iter().map(|text| GuardrailChecksBlock { text });
    let category = |category: Category| ContentFilterCategory {
        category: category.bedrock_name(),
    };
    let request = GuardrailChecksRequest {
        messages: [GuardrailChecksMessage {
            role: "user",
            content: content.collect(),
        }],
        checks: GuardrailChecks {
            content_filter: ContentFilterCheck {
                categories: Category::ALL.into_iter().map(category).collect(),
            },
        },
    };
    serde_json::to_vec(&request)
        .map(Bytes::from)
        .map_err(|error| {
            let text = "The gateway could not serialize the request to Bedrock.";
            Error::new(Kind::Internal, text).with_detail(error.to_string())
        })
}

struct ChecksDecoder {
    input: usize,
    /// The units of the texts.
    units: u64,
    threshold: f64,
}

impl ModerationDecoder for ChecksDecoder {
    fn input(&self) -> usize {
        self.input
    }

    fn most(&self) -> NanoUsd {
        cost(self.units)
    }

    fn read(&self, body: &[u8]) -> Result<(Verdict, NanoUsd), Error> {
        let reply: GuardrailChecksReply = serde_json::from_slice(body).map_err(|error| {
            let (kind, column) = (error.classify(), error.column());
            failure::malformed(INVOKE, &format!("{kind:?} at column {column}"))
        })?;
        let mut verdict = Verdict::default();
        let mut missing = Category::ALL.to_vec();
        for result in reply.results.content_filter.results {
            if let Some(category) = Category::of_bedrock(&result.category) {
                missing.retain(|one| *one != category);
                let score = result.severity_score.clamp(0.0, 1.0);
                verdict.add(category, score, score > 0.0 && score >= self.threshold);
            }
        }
        // Without its result, a category would look clean.
        if let Some(category) = missing.first() {
            let detail = format!("no result of {}", category.bedrock_name());
            return Err(failure::malformed(INVOKE, &detail));
        }
        Ok((verdict, cost(reply.usage.content_filter.text_units)))
    }
}

fn cost(units: u64) -> NanoUsd {
    NanoUsd(catalogue::content_check_price().0.saturating_mul(units))
}
