//! Decodes replies of the endpoints, whole and streamed.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::{
    error::NativeError,
    sse::{Event, SseReader},
    translator::Translator,
    wire::Completion,
};
use crate::{
    call::Warnings,
    error::{Error, Kind},
    model::ToolUseIdForm,
    money::Usage,
    operation::chat::Chunk,
    upstream::{
        Request,
        chat::{Decoder, StreamDecoder, WholeAnswer},
        converse::{
            ReplyPlan,
            repair::{self, SchemaMismatch, StreamCheck},
        },
        failure,
    },
};

/// Decodes the reply to one request.
pub struct NativeDecoder {
    pub plan: Arc<ReplyPlan>,
    /// Whether an answer that does not match its schema is requested a second time.
    pub repairs: bool,
    pub warnings: Warnings,
    /// Identifies the answer among all answers of the gateway.
    pub answer_id: String,
    pub id_form: ToolUseIdForm,
    /// The most output that can be billed without being seen, in tokens.
    pub unseen: u64,
}

impl NativeDecoder {
    fn translator(&self) -> Translator {
        Translator::new(
            self.plan.clone(),
            self.warnings.clone(),
            self.answer_id.clone(),
            self.id_form,
        )
    }
}

impl Decoder for NativeDecoder {
    fn whole(&self, _: &HeaderMap, body: &[u8]) -> Result<WholeAnswer, Error> {
        let completion = parse(body)?;
        let mut translator = self.translator();
        let mut chunks = VecDeque::new();
        translator.add(completion, &mut chunks);
        if !translator.is_finished() {
            return Err(malformed(&"there is no choice with a finish_reason", body));
        }
        translator.end(&mut chunks)?;
        Ok(WholeAnswer {
            chunks,
            invoked_model: None,
        })
    }

    fn stream(&self, _: &HeaderMap) -> Box<dyn StreamDecoder> {
        Box::new(NativeStreamDecoder {
            events: SseReader::default(),
            translator: self.translator(),
            check: StreamCheck::default(),
            plan: self.plan.clone(),
            warnings: self.warnings.clone(),
            unseen: self.unseen,
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
        repaired(request, &text, &problem).map(Some)
    }

    fn repaired(&self, second: Result<&WholeAnswer, &'static str>) {
        self.warnings.add(match second {
            Err(code) => {
                let failed = format!("the second request failed with '{code}'");
                format!("{} and {failed}", repair::NOT_JSON).into()
            }
            Ok(second) => repair::outcome(&self.plan, second),
        });
    }
}

/// Returns the same request, with the answer and what is wrong with it appended to the conversation.
fn repaired(request: &Request, answer: &str, problem: &str) -> Result<Request, Error> {
    let internal = |error: serde_json::Error| {
        Error::new(
            Kind::Internal,
            "The gateway could not serialize the request for a corrected answer.",
        )
        .with_detail(error.to_string())
    };
    let mut body: Value = serde_json::from_slice(&request.body).map_err(internal)?;
    if let Some(messages) = body["messages"].as_array_mut() {
        let said = match answer.trim() {
            "" => ".",
            said => said,
        };
        messages.push(json!({"role": "assistant", "content": said}));
        messages.push(json!({"role": "user", "content": repair::correction(problem)}));
    }
    let body = serde_json::to_vec(&body).map_err(internal)?;
    Ok(Request {
        body: body.into(),
        ..request.clone()
    })
}

/// Parses a whole reply or the data of an event.
///
/// # Errors
/// If it is not JSON, or reports a failure.
fn parse(data: &[u8]) -> Result<Completion, Error> {
    let mut completion: Completion =
        serde_json::from_slice(data).map_err(|error| malformed(&error.classify(), data))?;
    let error = completion.error.take();
    match error.as_ref().and_then(NativeError::of) {
        Some(error) => Err(error.into_error(None, &HeaderMap::new())),
        None => Ok(completion),
    }
}

/// Returns the error for a reply that does not have the form of the endpoint. An unknown path is a 200 too, and is not billed.
pub fn malformed(what: &dyn std::fmt::Debug, data: &[u8]) -> Error {
    let unknown = b"UnknownOperationException";
    let is_unknown = data.len() < 4096 && data.windows(unknown.len()).any(|part| part == unknown);
    if is_unknown {
        return Error::new(
            Kind::Upstream,
            "Bedrock does not have the endpoint that is configured for this model. Contact the gateway's operator.",
        )
        .with_code("upstream_malformed")
        .with_detail("UnknownOperationException in a 200")
        .without_retry();
    }
    Error::new(
        Kind::Upstream,
        "Bedrock sent a reply that could not be parsed.",
    )
    .with_code("upstream_malformed")
    // Excludes the data, because they contain text of the model.
    .with_detail(format!("{what:?}, {} bytes", data.len()))
    .may_be_billed()
}

/// Decodes server-sent events into chunks. The end is emitted once nothing can follow, so that a stream that breaks after
/// the finish reason is not taken for a complete one.
struct NativeStreamDecoder {
    events: SseReader,
    translator: Translator,
    check: StreamCheck,
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
    unseen: u64,
}

impl NativeStreamDecoder {
    fn finish(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        self.observed(out, |decoder, out| decoder.translator.end(out))
    }

    /// Runs `step` and checks the chunks that it adds.
    fn observed(
        &mut self,
        out: &mut VecDeque<Chunk>,
        step: impl FnOnce(&mut Self, &mut VecDeque<Chunk>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let before = out.len();
        step(self, out)?;
        let new = out.iter().skip(before);
        self.check.observe(new, &self.plan, &self.warnings);
        Ok(())
    }
}

impl StreamDecoder for NativeStreamDecoder {
    fn push(&mut self, data: Bytes) {
        self.events.push(&data);
    }

    fn decode(&mut self, out: &mut VecDeque<Chunk>) -> Result<bool, Error> {
        let too_long = |_| malformed(&"an event is too long", &[]);
        let Some(Event { name, data }) = self.events.next_event().map_err(too_long)? else {
            return Ok(false);
        };
        if data == b"[DONE]" {
            if self.translator.is_finished() && !self.translator.is_ended() {
                self.finish(out)?;
            }
            return Ok(true);
        }
        if name == b"error" {
            let error = NativeError::read(&data).or_else(|| {
                let whole: Value = serde_json::from_slice(&data).ok()?;
                NativeError::of(&whole)
            });
            return Err(error
                .unwrap_or_default()
                .into_error(None, &HeaderMap::new()));
        }
        let completion = parse(&data)?;
        self.observed(out, |decoder, out| {
            decoder.translator.add(completion, out);
            Ok(())
        })?;
        Ok(true)
    }

    fn has_leftover(&self) -> bool {
        self.events.json().is_none() && self.events.has_leftover()
    }

    fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if let Some(json) = self.events.json() {
            parse(json)?;
            return Err(malformed(&"not a stream", json));
        }
        match self.translator.has_final_usage() {
            _ if self.translator.is_ended() => Ok(()),
            true => self.finish(out),
            false => Err(failure::truncated(
                "the stream ended without [DONE] or its usage",
            )),
        }
    }

    fn is_stopped(&self) -> bool {
        self.translator.is_finished()
    }

    fn is_complete(&self) -> bool {
        self.translator.is_ended()
    }

    fn estimate(&self) -> Usage {
        self.translator.estimate(self.unseen)
    }
}
