//! Decodes replies of InvokeModel and the frames of InvokeModelWithResponseStream.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::{
    family_reader,
    headers::ReplyHeaders,
    reply::{Reader, Reply},
};
use crate::{
    call::Warnings,
    error::Error,
    model::InvokeFamily,
    money::Usage,
    operation::chat::Chunk,
    upstream::{
        BilledError, Frame, FrameReader, Request,
        chat::decoder::{Decoder, StreamDecoder, WholeAnswer},
        converse::{
            ReplyPlan,
            repair::{self, StreamCheck},
        },
        failure,
        halves::Halves,
        invoke::{malformed, parse},
    },
};

/// What a stream ends with in some families, instead of JSON.
const DONE: &[u8] = b"[DONE]";

/// Decodes the replies to one request.
pub struct InvokeDecoder {
    pub plan: Arc<ReplyPlan>,
    pub family: InvokeFamily,
    pub warnings: Warnings,
}

impl InvokeDecoder {
    fn reply(&self, headers: &HeaderMap) -> Reply {
        let headers = ReplyHeaders::read(headers);
        Reply::new(self.plan.clone(), self.warnings.clone(), headers)
    }
}

impl Decoder for InvokeDecoder {
    fn whole(&self, headers: &HeaderMap, body: &[u8]) -> Result<WholeAnswer, BilledError> {
        let mut reply = self.reply(headers);
        let body = Halves::default().join(body, &self.warnings);
        reply.envelope(parse(&body)?);
        let read = family_reader(self.family).whole(&body, &mut reply);
        read.and_then(|()| reply.finish())
            .map_err(|error| BilledError::new(error, reply.usage()))?;
        Ok(WholeAnswer {
            chunks: reply.chunks,
            invoked_model: None,
        })
    }

    fn stream(&self, headers: &HeaderMap) -> Box<dyn StreamDecoder> {
        Box::new(InvokeStreamDecoder {
            frames: FrameReader::default(),
            halves: Halves::default(),
            reader: family_reader(self.family),
            reply: self.reply(headers),
            check: StreamCheck::default(),
        })
    }

    /// Returns no request: the form of a corrected request differs by family.
    fn repair(&self, _: &Request, answer: &WholeAnswer) -> Result<Option<Request>, Error> {
        if repair::schema_mismatch(&self.plan, answer).is_some() {
            self.warnings.add(repair::NOT_JSON);
        }
        Ok(None)
    }

    fn repaired(&self, _: Result<&WholeAnswer, &'static str>) {}
}

/// Decodes the frames of InvokeModelWithResponseStream into chunks.
struct InvokeStreamDecoder {
    frames: FrameReader,
    halves: Halves,
    reader: Box<dyn Reader>,
    reply: Reply,
    check: StreamCheck,
}

/// The payload of a `chunk` event.
#[derive(Deserialize)]
struct PayloadPart<'a> {
    /// Base64 of the family's event.
    #[serde(borrow, default)]
    bytes: Cow<'a, str>,
}

impl InvokeStreamDecoder {
    fn chunk(&mut self, payload: &[u8]) -> Result<(), Error> {
        let part: PayloadPart<'_> = serde_json::from_slice(payload)
            .map_err(|_| malformed(format!("an event of {} bytes", payload.len())))?;
        let event = STANDARD
            .decode(part.bytes.as_bytes())
            .map_err(|_| malformed("an event that is not Base64"))?;
        if event.trim_ascii() == DONE || event.is_empty() {
            return Ok(());
        }
        let event = self.halves.join(&event, self.reply.warnings());
        self.reply.envelope(parse(&event)?);
        self.reader.event(&event, &mut self.reply)?;
        self.reply.check()?;
        if self.reply.is_last() {
            self.reply.finish()?;
        }
        Ok(())
    }

    fn hand_over(&mut self, out: &mut VecDeque<Chunk>) {
        let (plan, warnings) = (self.reply.plan(), self.reply.warnings());
        self.check.observe(&self.reply.chunks, plan, warnings);
        out.append(&mut self.reply.chunks);
    }
}

impl StreamDecoder for InvokeStreamDecoder {
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
            } if event_type == "chunk" => {
                let result = self.chunk(&payload);
                self.hand_over(out);
                result?;
            }
            Frame::Event { .. } => {}
            Frame::Exception {
                exception_type,
                payload,
            } => return Err(failure::from_exception(&exception_type, &payload)),
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
        let result = self.reply.finish();
        self.hand_over(out);
        result
    }

    fn is_stopped(&self) -> bool {
        self.reply.is_stopped()
    }

    fn is_complete(&self) -> bool {
        self.reply.is_finished()
    }

    fn estimate(&self) -> Usage {
        self.reply.estimate()
    }
}
