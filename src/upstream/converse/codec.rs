use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    Context, Extras, ReplyPlan, StreamTranslator, Translated, chat_request,
    repair::{self, SchemaMismatch, StreamCheck},
    sampling, whole_reply,
};
use crate::{
    bedrock::reply::ConverseReply,
    call::{Call, Delivery, Warnings},
    error::{Error, Kind},
    money::Usage,
    operation::chat::{Chat, Chunk, SentOptions},
    upstream::{
        BilledError, Codec, Frame, FrameReader, Request, ServiceOperation,
        chat::decoder::{Decoder, StreamDecoder, WholeAnswer},
        failure,
        halves::Halves,
    },
};

/// The codec for chats over Converse and ConverseStream.
pub struct Converse;

impl Codec<Chat> for Converse {
    fn encode(&self, call: &Call<Chat>) -> Result<Vec<(Request, Arc<dyn Decoder>)>, Error> {
        let operation = match call.plan.delivery {
            Delivery::Stream => ServiceOperation::ConverseStream,
            Delivery::Whole | Delivery::Replayed => ServiceOperation::Converse,
        };
        let (options, warnings) = (&call.body.messages_options, call.trace.warnings());
        options.warn_of_rest(&SentOptions::default(), warnings);
        let mut requests = Vec::new();
        for messages in call.body.conversations() {
            let (body, plan) = encode_conversation(call, messages)?;
            if plan.schema_is_unenforced {
                call.trace.set_schema_unenforced();
            }
            let request = Request {
                operation,
                headers: Vec::new(),
                body,
            };
            let decoder: Arc<dyn Decoder> = Arc::new(ConverseDecoder {
                plan: Arc::new(plan),
                repairs: call.model.options.repair_json,
                warnings: call.trace.warnings().clone(),
            });
            for _ in 0..call.body.n.unwrap_or(1) {
                requests.push((request.clone(), decoder.clone()));
            }
        }
        Ok(requests)
    }
}

/// Returns the body for one conversation and the plan to decode its reply.
fn encode_conversation(
    call: &Call<Chat>,
    messages: &[crate::operation::chat::Message],
) -> Result<(Bytes, ReplyPlan), Error> {
    let cx = Context {
        model: &call.model,
        caller: &call.caller,
        warnings: call.trace.warnings(),
        messages,
        extras: Extras::default(),
    };
    let Translated {
        mut request,
        mut plan,
    } = chat_request(&call.body, &cx)?;
    // Request metadata is not part of the input, so the usage estimate excludes it.
    let metadata_bytes =
        sampling::add_identity(&mut request, &call.request_id, &call.caller.key_id);
    let body = serde_json::to_vec(&request)
        .map(Bytes::from)
        .map_err(|error| {
            Error::new(
                Kind::Internal,
                "The gateway could not serialize the request to Bedrock.",
            )
            .with_detail(error.to_string())
        })?;
    plan.guardrail = call.plan.worst.guardrail;
    plan.request_bytes = body.len().saturating_sub(metadata_bytes);
    Ok((body, plan))
}

struct ConverseDecoder {
    plan: Arc<ReplyPlan>,
    /// Whether an answer that does not match its schema is requested a second time.
    repairs: bool,
    warnings: Warnings,
}

impl Decoder for ConverseDecoder {
    fn whole(&self, _: &HeaderMap, body: &[u8]) -> Result<WholeAnswer, BilledError> {
        let body = Halves::default().join(body, &self.warnings);
        whole_reply(parse(&body)?, &self.plan, &self.warnings)
    }

    fn stream(&self, _: &HeaderMap) -> Box<dyn StreamDecoder> {
        Box::new(ConverseStreamDecoder {
            frames: FrameReader::default(),
            halves: Halves::default(),
            translator: StreamTranslator::new(self.plan.clone(), self.warnings.clone()),
            check: StreamCheck::default(),
            plan: self.plan.clone(),
            warnings: self.warnings.clone(),
        })
    }

    fn repair(&self, request: &Request, answer: &WholeAnswer) -> Result<Option<Request>, Error> {
        let Some(SchemaMismatch { text, problem }) = repair::schema_mismatch(&self.plan, answer)
        else {
            return Ok(None);
        };
        if !self.repairs {
            self.warnings.add(repair::NOT_JSON);
            return Ok(None);
        }
        let body = repair::body(&request.body, &text, &problem)?;
        Ok(Some(Request {
            body,
            ..request.clone()
        }))
    }

    fn repaired(&self, second: Result<&WholeAnswer, &'static str>) {
        self.warnings.add(match second {
            Err(code) => format!(
                "{} and the second request failed with '{code}'",
                repair::NOT_JSON
            )
            .into(),
            Ok(second) => repair::outcome(&self.plan, second),
        });
    }
}

fn parse(body: &[u8]) -> Result<ConverseReply, Error> {
    serde_json::from_slice(body).map_err(|error| {
        let (kind, column, len) = (error.classify(), error.column(), body.len());
        Error::new(
            Kind::Upstream,
            "Bedrock sent a reply that could not be parsed.",
        )
        .with_code("upstream_malformed")
        .with_detail(format!("{kind:?} at column {column} of {len} bytes"))
        .may_be_billed()
    })
}

/// Decodes the frames of ConverseStream into chunks.
struct ConverseStreamDecoder {
    frames: FrameReader,
    halves: Halves,
    translator: StreamTranslator,
    check: StreamCheck,
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
}

impl StreamDecoder for ConverseStreamDecoder {
    fn push(&mut self, data: Bytes) {
        self.frames.push(data);
    }

    fn decode(&mut self, out: &mut VecDeque<Chunk>) -> Result<bool, Error> {
        let Some(frame) = self.frames.next_frame().map_err(failure::from_frame)? else {
            return Ok(false);
        };
        match frame {
            Frame::Event {
                event_type,
                payload,
            } => {
                let before = out.len();
                let payload = self.halves.join(&payload, &self.warnings);
                self.translator.event(&event_type, &payload, out)?;
                let new = out.iter().skip(before);
                self.check.observe(new, &self.plan, &self.warnings);
            }
            Frame::Exception {
                exception_type,
                payload,
            } => {
                return Err(failure::from_exception(&exception_type, &payload));
            }
            Frame::Error { code, message } => {
                return Err(failure::from_error_frame(&code, &message));
            }
        }
        Ok(true)
    }

    fn has_leftover(&self) -> bool {
        self.frames.has_leftover()
    }

    fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        self.translator.end(out)
    }

    fn is_stopped(&self) -> bool {
        self.translator.is_stopped()
    }

    fn is_complete(&self) -> bool {
        self.translator.is_complete()
    }

    fn estimate(&self) -> Usage {
        self.translator.estimate()
    }
}
