//! Reads the usage of replies that pass through.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    bedrock::reply::Metadata,
    error::Error,
    money::Usage,
    operation::passthrough::SdkOperation,
    upstream::{
        converse::{
            ReplyPlan,
            finish::{ReplySize, Terms, usage},
        },
        invoke::{
            chat::{
                body::Body,
                headers::ReplyHeaders,
                reply::{Counts, Envelope},
            },
            parse,
        },
    },
};

/// Reads the usage of the reply to one request.
pub struct Meter {
    pub operation: SdkOperation,
    /// The terms of the price.
    pub plan: ReplyPlan,
    /// The client must not see the trace of the guardrail, which the gateway has requested.
    pub hides_trace: bool,
}

/// A `chunk` event of InvokeModelWithResponseStream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PayloadPart {
    bytes: String,
}

impl Meter {
    /// Returns the usage of a whole reply, or `None` if the service does not report it.
    ///
    /// # Errors
    /// If the body is not JSON.
    pub fn whole(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<Usage>, Error> {
        match self.operation {
            SdkOperation::Converse => Ok(self.of_converse(parse(body)?)),
            SdkOperation::InvokeModel => {
                let headers = ReplyHeaders::read(headers);
                let envelope: Envelope = serde_json::from_slice(body).unwrap_or_default();
                Ok(self.of_invoke(headers.counts, &headers, &envelope))
            }
        }
    }

    /// Returns the usage if the event reports it.
    ///
    /// # Errors
    /// If the event is not JSON.
    pub fn event(&self, event_type: &str, payload: &[u8]) -> Result<Option<Usage>, Error> {
        match (self.operation, event_type) {
            (SdkOperation::Converse, "metadata") => Ok(self.of_converse(parse(payload)?)),
            (SdkOperation::InvokeModel, "chunk") => {
                let part: PayloadPart = parse(payload)?;
                let event = STANDARD.decode(&part.bytes).unwrap_or_default();
                // Some families end with a text that is not JSON.
                let envelope: Envelope = serde_json::from_slice(&event).unwrap_or_default();
                let Some(counts) = envelope.counts() else {
                    return Ok(None);
                };
                Ok(self.of_invoke(counts, &ReplyHeaders::default(), &envelope))
            }
            _ => Ok(None),
        }
    }

    /// Returns what the client sees of a reply or an event of Converse that reports the usage. Returns `None` if it is what
    /// Bedrock sent.
    pub fn shown(&self, json: &[u8]) -> Option<Bytes> {
        let is_converse = self.operation == SdkOperation::Converse;
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

    fn of_converse(&self, reply: Metadata) -> Option<Usage> {
        let reported = reply.usage?;
        let trace = reply.trace.as_ref();
        let terms = Terms {
            tier: reply.service_tier,
            performance: reply.performance_config,
            router: trace.and_then(|trace| trace.prompt_router.as_ref()),
            guardrail: trace.and_then(|trace| trace.guardrail.as_ref()),
        };
        let size = ReplySize::default();
        Some(usage(&Some(reported).into(), terms, None, size, &self.plan))
    }

    fn of_invoke(
        &self,
        counts: Counts,
        headers: &ReplyHeaders,
        envelope: &Envelope,
    ) -> Option<Usage> {
        let reported = counts.is_complete().then(|| counts.usage())?;
        let trace = envelope.converse_trace();
        let terms = Terms {
            tier: headers.tier(),
            performance: headers.performance(),
            router: None,
            guardrail: trace.as_ref(),
        };
        let size = ReplySize::default();
        Some(usage(&Some(reported).into(), terms, None, size, &self.plan))
    }
}
