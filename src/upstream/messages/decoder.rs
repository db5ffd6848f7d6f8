//! Decodes replies of Messages, whole and as server-sent events.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    call::Warnings,
    error::Error,
    money::Usage,
    operation::chat::Chunk,
    upstream::{
        BilledError, Request,
        chat::decoder::{Decoder, StreamDecoder, WholeAnswer},
        converse::{
            ReplyPlan,
            repair::{self, StreamCheck},
        },
        failure,
        halves::Halves,
        invoke::{
            chat::{
                anthropic::Anthropic,
                headers::ReplyHeaders,
                reply::{Reader, Reply},
            },
            parse,
        },
        native::{
            error::NativeError,
            malformed,
            sse::{Event, SseReader},
        },
    },
};

/// Decodes the reply to one request.
pub struct MessagesDecoder {
    pub plan: Arc<ReplyPlan>,
    pub warnings: Warnings,
}

impl MessagesDecoder {
    fn reply(&self) -> Reply {
        let headers = ReplyHeaders::default();
        Reply::new(self.plan.clone(), self.warnings.clone(), headers)
    }
}

impl Decoder for MessagesDecoder {
    fn whole(&self, _: &HeaderMap, body: &[u8]) -> Result<WholeAnswer, BilledError> {
        let body = Halves::default().join(body, &self.warnings);
        if kind_of(&body)? != "message" {
            return Err(malformed(&"not a message", &body).into());
        }
        let mut reply = self.reply();
        reply.envelope(parse(&body)?);
        let read = Anthropic.whole(&body, &mut reply);
        read.and_then(|()| reply.finish())
            .map_err(|error| BilledError::new(error, reply.usage()))?;
        Ok(WholeAnswer {
            chunks: reply.chunks,
            invoked_model: None,
        })
    }

    fn stream(&self, _: &HeaderMap) -> Box<dyn StreamDecoder> {
        Box::new(MessagesStream {
            events: SseReader::default(),
            halves: Halves::default(),
            reply: self.reply(),
            check: StreamCheck::default(),
        })
    }

    /// Returns no request. As on InvokeModel, an answer that does not match only adds a warning.
    fn repair(&self, _: &Request, answer: &WholeAnswer) -> Result<Option<Request>, Error> {
        if repair::schema_mismatch(&self.plan, answer).is_some() {
            self.warnings.add(repair::NOT_JSON);
        }
        Ok(None)
    }

    fn repaired(&self, _: Result<&WholeAnswer, &'static str>) {}
}

/// The members that tell replies, events and failures apart.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
    error: Option<Value>,
}

/// Returns the type of a whole reply or an event.
///
/// # Errors
/// If it is not JSON, or reports a failure.
fn kind_of(data: &[u8]) -> Result<String, Error> {
    let Kind { kind, error } =
        serde_json::from_slice(data).map_err(|error| malformed(&error.classify(), data))?;
    match error.as_ref().and_then(NativeError::of) {
        Some(error) => Err(error.into_error(None, &HeaderMap::new())),
        None => Ok(kind),
    }
}

/// Decodes server-sent events into chunks. The end is emitted with `message_stop`, so that a stream that breaks after the
/// stop reason is not taken for a complete one.
struct MessagesStream {
    events: SseReader,
    halves: Halves,
    reply: Reply,
    check: StreamCheck,
}

impl MessagesStream {
    fn event(&mut self, Event { name, data }: &Event) -> Result<(), Error> {
        let data = self.halves.join(data, self.reply.warnings());
        let data = data.as_ref();
        let kind = kind_of(data)?;
        if kind == "error" || name == b"error" {
            let whole: Option<Value> = serde_json::from_slice(data).ok();
            let error = whole.as_ref().and_then(NativeError::of);
            return Err(error
                .unwrap_or_default()
                .into_error(None, &HeaderMap::new()));
        }
        self.reply.envelope(parse(data)?);
        match kind.as_str() {
            "ping" => Ok(()),
            "message_stop" => self.reply.finish(),
            _ => {
                Anthropic.event(data, &mut self.reply)?;
                self.reply.check()
            }
        }
    }

    fn hand_over(&mut self, out: &mut VecDeque<Chunk>) {
        let (plan, warnings) = (self.reply.plan(), self.reply.warnings());
        self.check.observe(&self.reply.chunks, plan, warnings);
        out.append(&mut self.reply.chunks);
    }
}

impl StreamDecoder for MessagesStream {
    fn push(&mut self, data: Bytes) {
        self.events.push(&data);
    }

    fn decode(&mut self, out: &mut VecDeque<Chunk>) -> Result<bool, Error> {
        let too_long = |_| malformed(&"an event is too long", &[]);
        let Some(event) = self.events.next_event().map_err(too_long)? else {
            return Ok(false);
        };
        let result = self.event(&event);
        self.hand_over(out);
        result.map(|()| true)
    }

    fn has_leftover(&self) -> bool {
        self.events.json().is_none() && self.events.has_leftover()
    }

    fn end(&mut self, _: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if let Some(json) = self.events.json() {
            kind_of(json)?;
            return Err(malformed(&"not a stream", json));
        }
        match self.reply.is_finished() {
            true => Ok(()),
            false => Err(failure::truncated("the stream ended without message_stop")),
        }
    }

    fn is_stopped(&self) -> bool {
        self.reply.is_finished()
    }

    fn is_complete(&self) -> bool {
        self.reply.is_finished()
    }

    fn estimate(&self) -> Usage {
        self.reply.estimate()
    }
}
