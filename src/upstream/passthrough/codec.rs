//! The body that Bedrock receives: the client's, with a limit of the output, the operator's guardrail, and the metadata that
//! link an entry of the model invocation log to an entry of the ledger.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    guard_content::unmark,
    meter::{Meter, Metered},
};
use crate::{
    bedrock::request::OrderedMap,
    call::{Call, REQUEST_ID},
    error::{Error, Kind},
    operation::passthrough::{LIMITS, NOVA_LIMITS, Passthrough, SdkOperation, cap_member},
    upstream::{
        Codec, Request, ServiceOperation,
        converse::{
            ReplyPlan,
            sampling::{fit_metadata, sanitized},
        },
        invoke::chat::{body::Body, video_length},
    },
};

/// The header with the metadata of InvokeModel.
const METADATA: HeaderName = HeaderName::from_static("x-amzn-bedrock-request-metadata");

/// The codec for requests of AWS SDKs.
pub struct Unchanged;

impl Codec<Passthrough> for Unchanged {
    fn encode(&self, call: &Call<Passthrough>) -> Result<Vec<(Request, Arc<Meter>)>, Error> {
        let own = &call.body;
        let mut body = Body::read(&own.body)?;
        let mut headers = own.headers.clone();
        let operation = match own.operation {
            SdkOperation::Converse => {
                converse(call, &mut body)?;
                match own.stream {
                    true => ServiceOperation::ConverseStream,
                    false => ServiceOperation::Converse,
                }
            }
            SdkOperation::InvokeModel => {
                invoke(call, &mut body)?;
                headers.push((METADATA, metadata_header(call)?));
                match own.stream {
                    true => ServiceOperation::InvokeModelWithResponseStream,
                    false => ServiceOperation::InvokeModel,
                }
            }
        };
        let meter = meter(call, &body);
        let request = Request {
            operation,
            headers,
            body: body.into_bytes(),
        };
        Ok(vec![(request, Arc::new(meter))])
    }
}

/// Returns the meter for the reply to `body`.
fn meter(call: &Call<Passthrough>, body: &Body) -> Meter {
    let (own, facts) = (&call.body, &call.model.facts);
    let family = facts.invoke.as_ref().map(|invoke| invoke.family);
    let metered = match own.operation {
        SdkOperation::Converse => Metered::Converse,
        SdkOperation::InvokeModel if facts.is_not_for_chats() => Metered::Input {
            billed: own.billed(facts),
            counts_tokens: facts
                .embed
                .as_ref()
                .is_some_and(|embed| !embed.family.bills_queries()),
        },
        SdkOperation::InvokeModel => Metered::Answer(family),
    };
    let video_seconds = match family.is_some_and(|family| family.bills_video()) {
        true => video_length::of_file(video(body).as_deref()),
        false => 0,
    };
    // Inline media are no text, so their bytes say nothing about tokens.
    let text = own.size.text.saturating_sub(own.size.media);
    Meter {
        metered,
        hides_trace: hides_trace(call),
        plan: Arc::new(ReplyPlan {
            guardrail: call.plan.worst.guardrail,
            price: call.model.price.clone(),
            tier: own.size.tier,
            region: call.model.target().region.clone(),
            video_seconds,
            request_bytes: usize::try_from(text).unwrap_or(usize::MAX),
            ..ReplyPlan::default()
        }),
    }
}

/// Returns the inline video of a body of Pegasus.
fn video(body: &Body) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct MediaSource<'a> {
        #[serde(borrow, rename = "base64String")]
        data: Option<Cow<'a, str>>,
    }
    let source = body.get("mediaSource")?.get();
    serde_json::from_str::<MediaSource<'_>>(source).ok()?.data
}

fn converse(call: &Call<Passthrough>, body: &mut Body) -> Result<(), Error> {
    let own = call.body.size.max_tokens;
    if let Some(cap) = call.body.cap(&call.model).filter(|cap| own != Some(*cap)) {
        warn_of_cap(call, "inferenceConfig.maxTokens", cap);
        set_inside(body, "inferenceConfig", &["maxTokens"], cap)?;
    }
    // Written again, because a member that stands there twice may have been checked once.
    if let Some(fields) = body.get("additionalModelRequestFields") {
        let fields: Value = serde_json::from_str(fields.get()).unwrap_or_default();
        body.set("additionalModelRequestFields", &fields)?;
    }
    guardrail(call, body)?;
    body.set("requestMetadata", &OrderedMap(metadata(call)))
}

/// Warns that the client's limit of the output is lowered to the model's.
fn warn_of_cap(call: &Call<Passthrough>, member: &str, cap: u32) {
    let own = call.body.size.max_tokens.filter(|own| *own > cap);
    // The budget warns about its own limit.
    if let Some(own) = own.filter(|_| call.body.limit.is_none()) {
        let text = format!("{member}: {own} was sent as {cap} (the model's maximum)");
        call.trace.warnings().add(text);
    }
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
        if call.body.size.compared {
            unmark(body)?;
            let text = "guardContent: sent as plain content (the operator's guardrail evaluates the whole request)";
            call.trace.warnings().add(text);
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
        Some(config) if !call.body.size.asks_for_trace => {
            let mut config: Map<String, Value> =
                serde_json::from_str(config.get()).unwrap_or_default();
            config.insert("trace".to_owned(), "enabled".into());
            body.set(NAME, &config)
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

fn invoke(call: &Call<Passthrough>, body: &mut Body) -> Result<(), Error> {
    let Some((member, outer)) = cap_member(&call.model.facts) else {
        return Ok(());
    };
    let Some(cap) = call.body.cap(&call.model) else {
        return Ok(());
    };
    warn_of_cap(call, member, cap);
    // Written again even if it is the client's, because it may stand there twice or under several names.
    match outer {
        Some("inferenceConfig") => return set_inside(body, "inferenceConfig", &NOVA_LIMITS, cap),
        Some(outer) => return set_inside(body, outer, &[member], cap),
        None => {}
    }
    for other in LIMITS.into_iter().filter(|limit| *limit != member) {
        if body.remove(other) {
            let text = format!("{other}: sent as {member} (the name that this model follows)");
            call.trace.warnings().add(text);
        }
    }
    body.set(member, &cap)
}

/// Sets a limit in an object that is itself a member. `names` are the limit's own name and its former ones.
fn set_inside(body: &mut Body, outer: &str, names: &[&str], cap: u32) -> Result<(), Error> {
    let object = body.get(outer).map(|raw| serde_json::from_str(raw.get()));
    let mut object: Map<String, Value> = object.and_then(Result::ok).unwrap_or_default();
    let (own, former) = names.split_first().unwrap_or((&"", &[]));
    former.iter().for_each(|name| {
        object.remove(*name);
    });
    object.insert((*own).to_owned(), cap.into());
    body.set(outer, &object)
}

/// Returns the client's metadata, as much as fits, and the ids of the request and the key.
fn metadata<'a>(call: &'a Call<Passthrough>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let own = call.body.metadata.iter();
    let own = own.map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
    let mut pairs = fit_metadata(own, call.trace.warnings());
    let key = Cow::Borrowed(call.caller.key_id.as_str());
    pairs.push((REQUEST_ID.into(), Cow::Borrowed(&*call.request_id)));
    pairs.push(("lintel_key_id".into(), sanitized(key)));
    pairs
}

/// Returns the metadata of InvokeModel.
///
/// # Errors
/// If they are not valid in a header, which no metadata that fit are.
fn metadata_header(call: &Call<Passthrough>) -> Result<HeaderValue, Error> {
    let text = serde_json::to_string(&OrderedMap(metadata(call))).unwrap_or_default();
    HeaderValue::try_from(text).map_err(|error| {
        let text = "The gateway could not write the request metadata.";
        Error::new(Kind::Internal, text).with_detail(error.to_string())
    })
}
