//! Translates the events of ConverseStream into the chunks of an answer.

use std::{collections::VecDeque, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::{answer::Answer, finish, plan::ReplyPlan};
use crate::{
    bedrock::{
        event::{ContentBlockDelta, ContentBlockStart, ContentBlockStop, MessageStop},
        reply::Metadata,
    },
    call::Warnings,
    error::{Error, Kind, RetryAdvice},
    money::Usage,
    operation::chat::Chunk,
};

/// The stop reason after which the guardrail's trace tells what it did.
const INTERVENED: &str = "guardrail_intervened";

/// What the model itself reports about the end of its answer.
#[derive(Debug)]
struct Fields {
    sequence: Option<String>,
    details: Option<Value>,
}

/// The state of one streamed reply. Recorded streams have interleaved blocks, no `messageStart`, or `metadata` before
/// `messageStop`, so the translator accepts all of these.
#[derive(Debug)]
pub struct StreamTranslator {
    plan: Arc<ReplyPlan>,
    answer: Answer,
    /// Whether `messageStop` has arrived.
    stopped: bool,
    /// The end of an answer in which a guardrail intervened. Only the metadata tell what it did.
    intervened: Option<Fields>,
    /// Reasoning tokens that the model reported.
    reasoning: Option<u64>,
    /// The end of the message means that there is no answer. Its usage follows.
    failure: Option<Error>,
    /// The usage of a message without an answer.
    billed: Option<Usage>,
    /// Metadata that arrived before `messageStop`. Emitted after the finish reason.
    held: Option<Metadata>,
    /// Whether the usage chunk was emitted.
    reported: bool,
}

impl StreamTranslator {
    /// Creates a translator for one stream.
    pub fn new(plan: Arc<ReplyPlan>, warnings: Warnings) -> Self {
        let answer = Answer::new(plan.clone(), warnings);
        Self {
            plan,
            answer,
            stopped: false,
            intervened: None,
            reasoning: None,
            failure: None,
            billed: None,
            held: None,
            reported: false,
        }
    }

    /// Returns whether the message has ended, and is not known to be no answer. Its usage may still follow.
    pub fn is_stopped(&self) -> bool {
        self.stopped && self.billed.is_none()
    }

    /// Returns whether the message has ended and its usage is reported.
    pub fn is_complete(&self) -> bool {
        self.stopped && self.reported
    }

    /// Returns the usage of the stream so far: as reported, or else estimated.
    pub fn estimate(&self) -> Usage {
        if let Some(billed) = self.billed {
            return billed;
        }
        let counted = self
            .held
            .as_ref()
            .and_then(|metadata| metadata.usage.clone());
        finish::usage(
            &counted.into(),
            finish::Terms::default(),
            self.reasoning,
            self.answer.size,
            &self.plan,
        )
    }

    /// Translates one event and appends its chunks to `out`. Ignores unknown events.
    ///
    /// # Errors
    /// If the payload does not match the event type, or the stop reason means that there is no answer.
    pub fn event(
        &mut self,
        event_type: &str,
        payload: &[u8],
        out: &mut VecDeque<Chunk>,
    ) -> Result<(), Error> {
        match event_type {
            "contentBlockDelta" => delta(parse(payload)?, &mut self.answer, out),
            "contentBlockStart" => start(&parse(payload)?, &mut self.answer, out),
            "contentBlockStop" => {
                let event: ContentBlockStop = parse(payload)?;
                self.answer.block_stop(event.content_block_index, out);
            }
            "messageStop" => return self.message_stop(&parse(payload)?, out),
            "metadata" => return self.metadata(parse(payload)?, out),
            _ => {}
        }
        self.answer.check()
    }

    /// Ends the translation, after the last event. Emits an estimated usage if the service reported none.
    ///
    /// # Errors
    /// If `messageStop` has not arrived.
    pub fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if !self.stopped {
            return Err(Error::new(
                Kind::Upstream,
                "Bedrock ended the stream before the answer was complete.",
            )
            .with_code("upstream_truncated")
            .with_retry_advice(RetryAdvice::Often)
            .may_be_billed());
        }
        if !self.reported {
            self.report(Metadata::default(), out)?;
        }
        Ok(())
    }

    fn message_stop(
        &mut self,
        event: &MessageStop<'_>,
        out: &mut VecDeque<Chunk>,
    ) -> Result<(), Error> {
        let fields = event.additional_model_response_fields.as_ref();
        self.reasoning = finish::reasoning_tokens(fields);
        let own = Fields {
            sequence: finish::stop_sequence(fields),
            details: finish::stop_details(fields),
        };
        match event.stop_reason.as_ref() {
            INTERVENED => self.intervened = Some(own),
            // Even if there is no answer, its usage is reported after the end.
            reason => self.failure = self.finish(reason, own, None, out).err(),
        }
        self.stopped = true;
        if self
            .held
            .as_ref()
            .is_some_and(|metadata| metadata.usage.is_some())
            && let Some(metadata) = self.held.take()
        {
            self.report(metadata, out)?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        reason: &str,
        own: Fields,
        trace: Option<&Value>,
        out: &mut VecDeque<Chunk>,
    ) -> Result<(), Error> {
        let stop = finish::Stop {
            sequence: own.sequence,
            details: own.details,
            ..finish::Stop::new(reason, trace)
        };
        self.answer.finish(stop, out)
    }

    fn metadata(&mut self, event: Metadata, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if self.stopped && event.usage.is_some() {
            self.report(event, out)
        } else {
            self.held = Some(event);
            Ok(())
        }
    }

    /// Emits the end of an answer in which a guardrail intervened, the guardrail's trace and the usage.
    fn report(&mut self, metadata: Metadata, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let metadata = if metadata.usage.is_none() {
            self.held.take().unwrap_or(metadata)
        } else {
            metadata
        };
        let trace = metadata.trace.unwrap_or_default();
        if let Some(own) = self.intervened.take() {
            self.finish(INTERVENED, own, trace.guardrail.as_ref(), out)?;
        }
        let router = trace.prompt_router.as_ref();
        let usage = finish::usage(
            &metadata.usage.into(),
            finish::Terms {
                tier: metadata.service_tier,
                performance: metadata.performance_config,
                router,
                guardrail: trace.guardrail.as_ref(),
            },
            self.reasoning,
            self.answer.size,
            &self.plan,
        );
        if let Some(error) = self.failure.take() {
            self.billed = Some(usage);
            return Err(error);
        }
        out.extend(
            trace
                .guardrail
                .filter(|_| self.plan.show_guardrail)
                .map(Chunk::Guardrail),
        );
        out.push_back(Chunk::Usage(usage));
        self.reported = true;
        Ok(())
    }
}

/// Adds a delta to the answer.
pub fn delta(event: ContentBlockDelta<'_>, answer: &mut Answer, out: &mut VecDeque<Chunk>) {
    let block = event.content_block_index;
    let delta = event.delta;
    if delta.is_unknown() {
        answer.unknown("content of a type unknown to this version");
    }
    if let Some(text) = delta.text {
        answer.text(text.into_owned(), out);
    }
    if let Some(reasoning) = delta.reasoning_content {
        if let Some(text) = &reasoning.text {
            answer.reasoning(block, text, out);
        }
        if let Some(signature) = &reasoning.signature {
            answer.signature(block, signature);
        }
        if let Some(data) = &reasoning.redacted_content {
            answer.redacted(block, data);
        }
    }
    if let Some(tool) = delta.tool_use {
        answer.tool_input(block, tool.input.into_owned(), out);
    }
    if let Some(result) = delta.tool_result {
        answer.server_result_content(block, result);
    }
    if let Some(citation) = delta.citation {
        answer.citation(
            block,
            serde_json::from_str(citation.get()).unwrap_or(Value::Null),
        );
    }
    if let Some(image) = delta.image {
        answer.image_data(block, image.source.bytes.as_deref(), image.error.is_some());
    }
}

/// Starts a content block of the answer.
pub fn start(event: &ContentBlockStart<'_>, answer: &mut Answer, out: &mut VecDeque<Chunk>) {
    let block = event.content_block_index;
    if let Some(tool) = &event.start.tool_use {
        answer.tool_start(
            block,
            &tool.tool_use_id,
            &tool.name,
            tool.kind.as_deref(),
            out,
        );
    }
    if let Some(image) = &event.start.image {
        answer.image_start(block, &image.format);
    }
    if let Some(result) = &event.start.tool_result {
        answer.server_result(
            block,
            result.tool_use_id.clone(),
            result.kind.clone(),
            result.status.clone(),
        );
    }
}

/// Parses an event.
///
/// # Errors
/// If the payload does not match the event type.
pub fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(payload).map_err(|error| {
        Error::new(
            Kind::Upstream,
            "Bedrock sent an event that could not be parsed.",
        )
        .with_code("upstream_malformed")
        .may_be_billed()
        // Excludes the payload and serde's message, because both contain text of the model.
        .with_detail(format!(
            "{:?} at column {} of an event of {} bytes",
            error.classify(),
            error.column(),
            payload.len()
        ))
    })
}
