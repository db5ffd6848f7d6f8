//! The native OpenAI endpoints of Bedrock for chats: chat completions and Responses, of bedrock-runtime and of bedrock-mantle.
//!
//! The conversation is written in its order. Tools, structured output, stop sequences and the reading of answers are
//! those of [`super::converse`], with the model's facts on this endpoint, so that the same request has the same meaning on both.

mod body;
mod counts;
mod decoder;
mod draft;
pub mod error;
pub mod guardrail;
mod messages;
pub mod model;
pub mod refusals;
mod request;
mod responses;
pub mod sse;
mod stream;
mod tools;
mod translator;
mod wire;

use std::sync::Arc;

use super::{
    Codec, Request, ServiceOperation,
    chat::decoder::Decoder,
    converse::{Context, Extras, ReplyPlan},
};
use crate::{
    call::{Call, Delivery},
    error::Error,
    model::{MantlePrefix, Native as NativeFacts},
    operation::chat::{Chat, SentOptions},
};
use decoder::NativeDecoder;
use draft::Encoded;
pub(super) use error::malformed;
pub(super) use translator::unique_id;

/// The codec for chats over an OpenAI-compatible endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    /// bedrock-runtime.
    Runtime,
    /// bedrock-mantle. It ignores guardrails, so it never gets a request that needs one.
    Mantle,
    /// Responses of bedrock-runtime, which ignore guardrails too.
    Responses,
    /// Responses of bedrock-mantle.
    MantleResponses,
}

impl Native {
    fn operation(self, prefix: MantlePrefix) -> ServiceOperation {
        match self {
            Self::Runtime => ServiceOperation::ChatCompletions,
            Self::Mantle => ServiceOperation::MantleChatCompletions(prefix),
            Self::Responses => ServiceOperation::Responses,
            Self::MantleResponses => ServiceOperation::MantleResponses(prefix),
        }
    }

    fn is_mantle(self) -> bool {
        matches!(self, Self::Mantle | Self::MantleResponses)
    }

    fn is_responses(self) -> bool {
        matches!(self, Self::Responses | Self::MantleResponses)
    }
}

impl Codec<Chat> for Native {
    fn encode(&self, call: &Call<Chat>) -> Result<Vec<(Request, Arc<dyn Decoder>)>, Error> {
        let native = call.model.facts.native.clone().unwrap_or_default();
        let id = model::id(&call.model, &native, *self)?;
        let model = model::on_endpoint(&call.model, &native, *self);
        let stream = call.plan.delivery == Delivery::Stream;
        let (options, warnings) = (&call.body.messages_options, call.trace.warnings());
        options.warn_of_rest(&SentOptions::default(), warnings);
        let mut requests = Vec::new();
        for (nth, messages) in call.body.conversations().enumerate() {
            let cx = Context {
                model: &model,
                caller: &call.caller,
                warnings: call.trace.warnings(),
                messages,
                extras: Extras {
                    custom_tools: self.is_responses() && native.custom_tools,
                    namespaces: self.is_responses() && native.namespaces,
                    ..Extras::default()
                },
            };
            let shape = Shape {
                endpoint: *self,
                native: &native,
                id: &id,
                stream,
            };
            let Encoded {
                body,
                headers,
                plan,
            } = match self.is_responses() {
                true => shape.encode_responses(&call.body, &cx)?,
                false => shape.encode(&call.body, &cx)?,
            };
            let plan = Arc::new(ReplyPlan {
                guardrail: call.plan.worst.guardrail,
                request_bytes: body.len(),
                ..plan
            });
            if plan.schema_is_unenforced {
                call.trace.set_schema_unenforced();
            }
            let request = Request {
                operation: self.operation(native.mantle_prefix),
                headers,
                body,
            };
            for choice in 0..call.body.n.unwrap_or(1) {
                let decoder: Arc<dyn Decoder> = Arc::new(NativeDecoder {
                    endpoint: *self,
                    plan: plan.clone(),
                    repairs: model.options.repair_json,
                    warnings: call.trace.warnings().clone(),
                    answer_id: format!("{} {nth} {choice}", call.request_id),
                    id_form: model.facts.tool_use_id,
                });
                requests.push((request.clone(), decoder));
            }
        }
        Ok(requests)
    }
}

/// The parts of a request that do not depend on the chat.
#[derive(Clone, Copy)]
struct Shape<'a> {
    endpoint: Native,
    native: &'a NativeFacts,
    /// The model's id on this endpoint.
    id: &'a str,
    stream: bool,
}
