//! The body that Bedrock receives: the client's, with a limit of the output, the operator's guardrail, and the metadata that
//! link an entry of the model invocation log to an entry of the ledger.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::meter::Meter;
use crate::{
    bedrock::request::OrderedMap,
    call::{Call, REQUEST_ID},
    error::Error,
    operation::passthrough::{Passthrough, SdkOperation, cap_member},
    upstream::{
        Codec, Request, ServiceOperation,
        converse::{ReplyPlan, sampling::sanitized},
        invoke::chat::body::Body,
    },
};

/// The service's limit on the pairs of request metadata.
const MAX_METADATA: usize = 16;

/// The header with the metadata of InvokeModel.
const METADATA: HeaderName = HeaderName::from_static("x-amzn-bedrock-request-metadata");

/// The codec for requests of AWS SDKs.
pub struct Unchanged;

impl Codec<Passthrough> for Unchanged {
    fn encode(&self, call: &Call<Passthrough>) -> Result<Vec<(Request, Arc<Meter>)>, Error> {
        let own = &call.body;
        let mut body = Body::read(&own.body)?;
        let mut headers = own.headers.clone();
        let cap = own.cap(&call.model);
        let operation = match own.operation {
            SdkOperation::Converse => {
                converse(call, &mut body, cap)?;
                match own.stream {
                    true => ServiceOperation::ConverseStream,
                    false => ServiceOperation::Converse,
                }
            }
            SdkOperation::InvokeModel => {
                invoke(call, &mut body, cap)?;
                let metadata = serde_json::to_string(&OrderedMap(metadata(call)));
                let metadata = metadata
                    .ok()
                    .and_then(|text| HeaderValue::try_from(text).ok());
                headers.extend(metadata.map(|metadata| (METADATA, metadata)));
                match own.stream {
                    true => ServiceOperation::InvokeModelWithResponseStream,
                    false => ServiceOperation::InvokeModel,
                }
            }
        };
        let body: Bytes = body.into_bytes();
        let meter = Meter {
            operation: own.operation,
            hides_trace: hides_trace(call),
            plan: ReplyPlan {
                guardrail: call.plan.worst.guardrail,
                price: call.model.price.clone(),
                tier: own.size.tier,
                region: call.model.target().region.clone(),
                request_bytes: body.len(),
                ..ReplyPlan::default()
            },
        };
        let request = Request {
            operation,
            headers,
            body,
        };
        Ok(vec![(request, Arc::new(meter))])
    }
}

fn converse(call: &Call<Passthrough>, body: &mut Body, cap: Option<u32>) -> Result<(), Error> {
    if let Some(cap) = cap {
        set_inside(body, "inferenceConfig", "maxTokens", cap.into())?;
    }
    // Written again, because a member that stands there twice may have been checked once.
    if let Some(fields) = body.get("additionalModelRequestFields") {
        let fields: Value = serde_json::from_str(fields.get()).unwrap_or_default();
        body.set("additionalModelRequestFields", &fields)?;
    }
    guardrail(call, body)?;
    body.set("requestMetadata", &OrderedMap(metadata(call)))
}

/// Sets the operator's guardrail, and requests the trace of the client's, because only a trace reports the units that are
/// billed.
fn guardrail(call: &Call<Passthrough>, body: &mut Body) -> Result<(), Error> {
    const NAME: &str = "guardrailConfig";
    if let Some(policy) = call.caller.guardrails_for(&call.model).in_call {
        if body.get(NAME).is_some() {
            let why = "the operator's guardrail is used";
            call.trace.warnings().dropped(NAME, why);
        }
        let mut config = json!({
            "guardrailIdentifier": policy.identifier,
            "guardrailVersion": policy.version,
            "trace": policy.trace.as_deref().unwrap_or("enabled"),
        });
        let mode = policy.stream_processing_mode.as_deref();
        if let Some(mode) = mode.filter(|_| call.body.stream) {
            config["streamProcessingMode"] = mode.into();
        }
        return body.set(NAME, &config);
    }
    match body.get(NAME) {
        Some(_) if !call.body.size.asks_for_trace => {
            set_inside(body, NAME, "trace", "enabled".into())
        }
        _ => Ok(()),
    }
}

/// Reports whether the trace of the guardrail is for the gateway only.
fn hides_trace(call: &Call<Passthrough>) -> bool {
    let size = &call.body.size;
    let is_shown = match call.caller.guardrails_for(&call.model).in_call {
        Some(policy) => {
            let trace = policy.trace.as_deref();
            policy.show_trace && trace.is_some_and(|trace| trace != "disabled")
        }
        None => size.asks_for_trace || !size.guardrail,
    };
    call.body.operation == SdkOperation::Converse && !is_shown
}

fn invoke(call: &Call<Passthrough>, body: &mut Body, cap: Option<u32>) -> Result<(), Error> {
    let Some((member, outer)) = cap_member(&call.model.facts) else {
        return Ok(());
    };
    // The client's limit is written again, because it may stand there twice.
    let Some(cap) = cap.or(call.body.size.max_tokens) else {
        return Ok(());
    };
    match outer {
        Some(outer) => set_inside(body, outer, member, cap.into()),
        None => body.set(member, &cap),
    }
}

/// Sets a member of an object that is itself a member.
fn set_inside(body: &mut Body, outer: &str, inner: &str, value: Value) -> Result<(), Error> {
    let object = body.get(outer).map(|raw| serde_json::from_str(raw.get()));
    let mut object: Map<String, Value> = object.and_then(Result::ok).unwrap_or_default();
    object.insert(inner.to_owned(), value);
    body.set(outer, &object)
}

/// Returns the client's metadata, with the ids of the request and the key if there is room.
fn metadata<'a>(call: &'a Call<Passthrough>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let own = call.body.metadata.iter();
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = own
        .map(|(name, value)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value.as_str())))
        .collect();
    let ids = [
        (REQUEST_ID, Cow::Borrowed(&*call.request_id)),
        (
            "lintel_key_id",
            sanitized(Cow::Borrowed(call.caller.key_id.as_str())),
        ),
    ];
    for (name, value) in ids {
        pairs.retain(|(other, _)| other != name);
        if pairs.len() < MAX_METADATA {
            pairs.push((Cow::Borrowed(name), value));
        }
    }
    pairs
}
