//! Anthropic's Messages API of bedrock-runtime and of bedrock-mantle.
//!
//! The body is that of Claude on InvokeModel, with the model and `stream` in it, and the betas in a header. Replies feed the
//! same reader, whole or as server-sent events.

mod decoder;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::{
    Codec, Request, ServiceOperation,
    chat::decoder::Decoder,
    converse::{Context, Translated, chat_request},
    invoke::chat::{
        anthropic::{RequestBetas, write},
        body::Body,
        route_model,
    },
    native::{
        Native, guardrail,
        model::{id, unsupported},
    },
};
use crate::{
    bedrock::request::ServiceTier,
    call::{Call, Delivery, Warnings},
    error::{Error, Kind},
    model::{Invoke, InvokeFamily, Native as NativeFacts},
    operation::chat::{Chat, Message, bedrock_options},
};
use decoder::MessagesDecoder;

/// The only version of the API.
const VERSION: &str = "2023-06-01";

/// Additional members that clients may not set, because the gateway does.
const RESERVED: [&str; 3] = ["model", "stream", "anthropic_version"];

/// The codec for chats over Messages, on one of the two hosts.
pub struct Messages(pub Native);

impl Codec<Chat> for Messages {
    fn encode(&self, call: &Call<Chat>) -> Result<Vec<(Request, Arc<dyn Decoder>)>, Error> {
        let native = call.model.facts.native.clone().unwrap_or_default();
        let mut requests = Vec::new();
        for messages in call.body.conversations() {
            let (request, decoder) = self.encode_conversation(call, &native, messages)?;
            for _ in 0..call.body.n.unwrap_or(1) {
                requests.push((request.clone(), decoder.clone()));
            }
        }
        Ok(requests)
    }
}

impl Messages {
    fn encode_conversation(
        &self,
        call: &Call<Chat>,
        native: &NativeFacts,
        messages: &[Message],
    ) -> Result<(Request, Arc<dyn Decoder>), Error> {
        let warnings = call.trace.warnings();
        let is_mantle = self.0 == Native::Mantle;
        let invoke = call.model.facts.invoke.as_ref();
        let takes_format = invoke.is_some_and(|invoke| invoke.structured_output);
        let body_facts = Invoke {
            // bedrock-mantle rejects output formats.
            structured_output: !is_mantle && takes_format,
            ..Invoke::of(InvokeFamily::Anthropic)
        };
        let model = route_model(&call.model, &body_facts, false);
        let accepts = match is_mantle {
            true => &native.mantle_betas,
            false => &native.betas,
        };
        let betas = RequestBetas::new(&call.body, messages, &model, accepts, false, warnings);
        let cx = Context {
            model: &model,
            caller: &call.caller,
            warnings,
            messages,
            extras: betas.effects(),
        };
        let mut headers = guardrail::headers(&call.body, self.0, &cx)?;
        let chat = evaluated_as_a_whole(&call.body);
        let chat = chat.as_ref().unwrap_or(&call.body);
        let Translated {
            mut request,
            mut plan,
        } = chat_request(chat, &cx)?;
        if plan.schema_is_unenforced {
            call.trace.set_schema_unenforced();
        }
        if !matches!(request.service_tier, None | Some(ServiceTier::Default)) {
            return Err(unsupported(
                "service_tier",
                "This route does not offer this tier. Omit 'service_tier', or ask the gateway's operator for a model with `api = \"converse\"`.",
            ));
        }
        warn_ignored(&call.body, warnings);
        let mut fields = std::mem::take(&mut request.additional_model_request_fields);
        refuse_reserved(&fields)?;
        let flags = betas.flags(&mut fields, warnings);
        betas.add_thinking(&mut fields, &model);
        headers.push(header("anthropic-version", VERSION)?);
        if !flags.is_empty() {
            headers.push(header("anthropic-beta", &flags.join(","))?);
        }
        let mut body = Body::default();
        body.set("model", &id(&call.model, native, self.0)?)?;
        write(&request, &fields, &mut body)?;
        betas.add_members(&mut body)?;
        if call.plan.delivery == Delivery::Stream {
            body.set("stream", &true)?;
        }
        let body = body.into_bytes();
        plan.guardrail = call.plan.worst.guardrail;
        plan.request_bytes = body.len();
        let request = Request {
            operation: match is_mantle {
                true => ServiceOperation::MantleMessages,
                false => ServiceOperation::Messages,
            },
            headers,
            body,
        };
        let decoder = MessagesDecoder {
            plan: Arc::new(plan),
            warnings: warnings.clone(),
        };
        Ok((request, Arc::new(decoder)))
    }
}

/// Returns the chat without `guard`, if it has one. The endpoints' guardrail evaluates all text, so nothing is marked for it
/// or sent twice.
fn evaluated_as_a_whole(chat: &Chat) -> Option<Chat> {
    let guardrail = chat.bedrock.as_ref()?.guardrail.as_ref()?;
    guardrail.guard.as_ref()?;
    let mut chat = chat.clone();
    let own = chat.bedrock.as_mut()?;
    own.guardrail.as_mut()?.guard = None;
    Some(chat)
}

fn refuse_reserved(fields: &Map<String, Value>) -> Result<(), Error> {
    match fields.keys().find(|name| RESERVED.contains(&name.as_str())) {
        Some(name) => Err(Error::invalid(
            format!("bedrock.additional_model_request_fields.{name}"),
            "The gateway sets this member itself. Remove it.",
        )),
        None => Ok(()),
    }
}

fn header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let value = HeaderValue::from_str(value).map_err(|error| {
        Error::new(
            Kind::Internal,
            "The gateway could not write a header of the request to Bedrock.",
        )
        .with_detail(error.to_string())
    })?;
    Ok((HeaderName::from_static(name), value))
}

/// Warns about members that have no place in the request.
fn warn_ignored(chat: &Chat, warnings: &Warnings) {
    const NO_METADATA: &str = "this route has no request metadata";
    const NO_PLACE: &str = "this route has no such parameter";
    let own = chat.bedrock.as_ref();
    let has_paths = own
        .and_then(|own| own.additional_model_response_field_paths.as_ref())
        .is_some_and(|paths| !paths.is_empty());
    let has_own_metadata = own.is_some_and(|own| own.request_metadata.is_some());
    for (param, is_present, why) in [
        ("metadata", chat.metadata.is_some(), NO_METADATA),
        ("user", chat.user.is_some(), NO_METADATA),
        (
            "safety_identifier",
            chat.safety_identifier.is_some(),
            NO_METADATA,
        ),
        ("bedrock.request_metadata", has_own_metadata, NO_METADATA),
        (bedrock_options::PATHS, has_paths, NO_PLACE),
    ] {
        if is_present {
            warnings.dropped(param, why);
        }
    }
}
