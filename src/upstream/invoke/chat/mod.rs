//! Chats over InvokeModel. A chat is first translated to Converse, as on every route of Bedrock's own APIs. A family
//! then writes that request in its body, and reads its replies into the same steps as Converse.

pub(in crate::upstream) mod anthropic;
pub(in crate::upstream) mod body;
mod cohere;
mod completion;
mod decoder;
mod guardrail;
pub(in crate::upstream) mod headers;
mod nova;
mod openai;
mod pegasus;
pub(in crate::upstream) mod reply;
mod route_model;
mod template;
mod titan;
pub(in crate::upstream) mod video_length;

use std::sync::Arc;

use bytes::Bytes;

pub use self::{anthropic::RequestBetas, route_model::route_model};
use self::{body::Body, decoder::InvokeDecoder, reply::Reader};
use crate::{
    bedrock::request::ConverseRequest,
    call::{Call, Delivery, Warnings},
    error::{Error, Kind},
    model::{Invoke, InvokeFamily, Model},
    operation::chat::{Chat, Message},
    upstream::{
        Codec, Request, ServiceOperation,
        chat::decoder::Decoder,
        converse::{CallIds, Context, Translated, chat_request, sampling},
    },
};

/// The codec for chats over InvokeModel and InvokeModelWithResponseStream.
pub struct Chats;

impl Codec<Chat> for Chats {
    fn encode(&self, call: &Call<Chat>) -> Result<Vec<(Request, Arc<dyn Decoder>)>, Error> {
        let invoke = call.model.facts.invoke.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "The gateway planned a route that this model does not support.",
            )
        })?;
        let mut requests = Vec::new();
        for messages in call.body.conversations() {
            let (request, decoder) = encode_conversation(call, invoke, messages)?;
            for _ in 0..call.body.n.unwrap_or(1) {
                requests.push((request.clone(), decoder.clone()));
            }
        }
        Ok(requests)
    }
}

/// The inputs of a family's writer, besides the request.
pub struct Writer<'a> {
    /// The model as it is on this route.
    pub model: &'a Model,
    pub invoke: &'a Invoke,
    pub betas: &'a RequestBetas<'a>,
    /// The reply is streamed.
    pub is_stream: bool,
    pub warnings: &'a Warnings,
}

fn encode_conversation(
    call: &Call<Chat>,
    invoke: &Invoke,
    messages: &[Message],
) -> Result<(Request, Arc<dyn Decoder>), Error> {
    let warnings = call.trace.warnings();
    let is_guarded = guardrail::is_in_call(call);
    let model = route_model(&call.model, invoke, is_guarded);
    let betas = RequestBetas::new(
        &call.body,
        messages,
        &model,
        &invoke.betas,
        is_guarded,
        warnings,
    );
    let cx = Context {
        model: &model,
        caller: &call.caller,
        warnings,
        messages,
        extras: betas.effects(),
    };
    let Translated {
        mut request,
        mut plan,
    } = chat_request(&call.body, &cx)?;
    if plan.schema_is_unenforced {
        call.trace.set_schema_unenforced();
    }
    sampling::add_identity(&mut request, &call.request_id, &call.caller.key_id);
    warn_of_response_paths(call);
    let writer = Writer {
        model: &model,
        invoke,
        betas: &betas,
        is_stream: call.plan.delivery == Delivery::Stream,
        warnings,
    };
    let body = write_body(&mut request, &writer)?;
    plan.guardrail = call.plan.worst.guardrail;
    plan.request_bytes = body.len();
    plan.call_ids = Some(CallIds {
        answer: call.request_id.to_string(),
        form: model.facts.tool_use_id,
    });
    if invoke.family.bills_video() {
        plan.video_seconds = video_length::of(&request);
    }
    let operation = match call.plan.delivery {
        Delivery::Stream => ServiceOperation::InvokeModelWithResponseStream,
        Delivery::Whole | Delivery::Replayed => ServiceOperation::InvokeModel,
    };
    let request = Request {
        operation,
        headers: headers::of(&request),
        body,
    };
    let decoder = InvokeDecoder {
        plan: Arc::new(plan),
        family: invoke.family,
        warnings: warnings.clone(),
    };
    Ok((request, Arc::new(decoder)))
}

/// Returns the body of a request to a [`route_model`], and puts the text that a guardrail evaluates into tags.
///
/// # Errors
/// 400 if the family's body cannot express the request.
pub fn write_body(request: &mut ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Bytes, Error> {
    let tags = guardrail::tag(request, writer.warnings)?;
    let mut body = family_body(request, writer)?;
    body.set_some("amazon-bedrock-guardrailConfig", tags)?;
    Ok(body.into_bytes())
}

/// Returns the body in the form of the model's family.
fn family_body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    match writer.invoke.family {
        InvokeFamily::Anthropic => anthropic::body(request, writer),
        InvokeFamily::Nova => nova::body(request, writer),
        InvokeFamily::Pegasus => pegasus::body(request, writer),
        InvokeFamily::TitanText => titan::body(request, writer),
        InvokeFamily::CommandR => cohere::body(request, writer),
        InvokeFamily::ClaudeText | InvokeFamily::Command | InvokeFamily::Jurassic => {
            completion::body(request, writer)
        }
        InvokeFamily::OpenaiChat | InvokeFamily::MistralChat => openai::body(request, writer),
        InvokeFamily::Llama2
        | InvokeFamily::Llama3
        | InvokeFamily::Llama4
        | InvokeFamily::MistralText
        | InvokeFamily::DeepseekR1 => template::body(request, writer),
    }
}

/// Returns a reader of the family's replies.
pub(in crate::upstream) fn family_reader(family: InvokeFamily) -> Box<dyn Reader> {
    match family {
        InvokeFamily::Anthropic => Box::new(anthropic::Anthropic),
        InvokeFamily::Nova => Box::new(nova::Nova),
        InvokeFamily::Pegasus => Box::new(pegasus::Pegasus),
        InvokeFamily::TitanText => Box::new(titan::TitanText),
        InvokeFamily::CommandR => Box::<cohere::CommandR>::default(),
        InvokeFamily::OpenaiChat | InvokeFamily::MistralChat => Box::<openai::OpenAi>::default(),
        InvokeFamily::ClaudeText => Box::<completion::Claude>::default(),
        InvokeFamily::Command => Box::<completion::Command>::default(),
        InvokeFamily::Jurassic => Box::<completion::Jurassic>::default(),
        InvokeFamily::Llama2
        | InvokeFamily::Llama3
        | InvokeFamily::Llama4
        | InvokeFamily::MistralText => Box::new(template::Text::new(None)),
        InvokeFamily::DeepseekR1 => Box::new(template::Text::new(Some(template::THINK))),
    }
}

/// Warns that the client's paths of response fields have no effect.
fn warn_of_response_paths(call: &Call<Chat>) {
    let paths = call
        .body
        .bedrock
        .as_ref()
        .and_then(|own| own.additional_model_response_field_paths.as_ref());
    if paths.is_some_and(|paths| !paths.is_empty()) {
        call.trace.warnings().dropped(
            "bedrock.additional_model_response_field_paths",
            "InvokeModel has no such parameter",
        );
    }
}
