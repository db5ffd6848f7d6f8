//! Reads the usage of replies that pass through. It is judged like that of every chat: counts that cannot be true are
//! replaced by an estimate.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use super::count::{ConverseCount, Count, InvokeCount};
use crate::{
    bedrock::reply::ConverseReply,
    error::Error,
    model::InvokeFamily,
    money::{Cost, Usage},
    operation::passthrough::Billed,
    upstream::{
        converse::{ReplyPlan, reply::add_block},
        invoke::{chat::body::Body, input_tokens, parse},
    },
};

/// Reads the usage of the reply to one request.
pub struct Meter {
    pub metered: Metered,
    /// The terms of the price.
    pub plan: Arc<ReplyPlan>,
    /// The client must not see the trace of the guardrail, which the gateway has requested.
    pub hides_trace: bool,
}

/// What a reply is billed for.
#[derive(Clone, Copy, Debug)]
pub enum Metered {
    /// The answer of Converse.
    Converse,
    /// The answer of InvokeModel, in the form of the family. `None` if the gateway does not know it.
    Answer(Option<InvokeFamily>),
    /// The input of InvokeModel.
    Input {
        billed: Billed,
        /// Text is billed by its tokens.
        counts_tokens: bool,
    },
}

/// The member in which Titan counts the tokens of its input.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InputCount {
    input_text_token_count: Option<i64>,
}

impl Meter {
    /// Returns the usage of a whole reply.
    ///
    /// # Errors
    /// If a reply of Converse does not have its form.
    pub fn whole(&self, headers: &HeaderMap, body: &[u8]) -> Result<Usage, Error> {
        match self.metered {
            Metered::Converse => self.of_converse(parse(body)?),
            Metered::Answer(family) => {
                Ok(InvokeCount::new(self.plan.clone(), family, headers).whole(body))
            }
            Metered::Input {
                billed,
                counts_tokens,
            } => Ok(self.of_input(billed, counts_tokens, headers, body)),
        }
    }

    /// Returns the counter of a streamed reply.
    pub fn stream(&self, headers: &HeaderMap) -> Count {
        match self.metered {
            Metered::Answer(family) => {
                let count = InvokeCount::new(self.plan.clone(), family, headers);
                Count::Invoke(Box::new(count))
            }
            // A model that is billed for its input does not stream, and the plan rejects it.
            Metered::Converse | Metered::Input { .. } => {
                Count::Converse(Box::new(ConverseCount::new(self.plan.clone())))
            }
        }
    }

    /// Returns what the client sees of a reply or an event of Converse that reports the usage. Returns `None` if it is what
    /// Bedrock sent.
    pub fn shown(&self, json: &[u8]) -> Option<Bytes> {
        let is_converse = matches!(self.metered, Metered::Converse);
        let is_routed = || memmem::find(json, br#""promptRouter""#).is_some();
        if !(self.hides_trace || is_converse && is_routed()) {
            return None;
        }
        // It was read before.
        let Ok(mut body) = Body::read(json) else {
            return Some(Bytes::new());
        };
        let trace = body.get("trace")?;
        if self.hides_trace {
            body.remove("trace");
        } else {
            let mut trace: Value = serde_json::from_str(trace.get()).unwrap_or_default();
            let model = trace.pointer_mut("/promptRouter/invokedModelId")?;
            // The ARN has the operator's account id.
            *model = model.as_str()?.rsplit('/').next()?.into();
            body.set("trace", &trace).ok()?;
        }
        Some(body.into_bytes())
    }

    fn of_converse(&self, reply: ConverseReply) -> Result<Usage, Error> {
        let mut count = ConverseCount::new(self.plan.clone());
        for (index, block) in (0..).zip(reply.output.message.content) {
            count.add(|answer, chunks| {
                add_block(block, index, answer, chunks);
                answer.block_stop(index, chunks);
            });
        }
        count.stop(
            &reply.stop_reason,
            reply.additional_model_response_fields.as_ref(),
        );
        Ok(count.usage(crate::bedrock::reply::Metadata {
            usage: reply.usage,
            trace: reply.trace,
            service_tier: reply.service_tier,
            performance_config: reply.performance_config,
        }))
    }

    fn of_input(
        &self,
        billed: Billed,
        counts_tokens: bool,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Usage {
        let plan = &self.plan;
        let counted: InputCount = serde_json::from_slice(body).unwrap_or_default();
        let bytes = match counts_tokens {
            true => plan.request_bytes as u64,
            false => 0,
        };
        let (input, estimated) = input_tokens(counted.input_text_token_count, headers, bytes);
        let mut usage = Usage {
            input,
            images: billed.images,
            queries: billed.queries,
            output_images: billed.output_images,
            estimated: estimated || billed.is_estimate,
            ..Usage::default()
        };
        let cost = plan
            .price
            .as_ref()
            .and_then(|price| price.cost(&usage, plan.tier));
        // The reply does not say whether a guardrail has evaluated the input.
        let guardrails = Cost {
            guardrails: plan.guardrail.fixed,
            ..Cost::default()
        };
        usage.cost = cost.map(|cost| cost + guardrails);
        usage
    }
}
