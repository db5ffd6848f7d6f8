//! Counts the answer of a reply, event by event, with the readers of chats.

use std::{collections::VecDeque, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    bedrock::{
        event::{ContentBlockStop, MessageStop},
        reply::Metadata,
    },
    call::Warnings,
    error::Error,
    model::InvokeFamily,
    money::Usage,
    operation::chat::Chunk,
    upstream::{
        converse::{
            ReplyPlan,
            answer::Answer,
            finish::{Stop, Terms, reasoning_tokens, usage},
            stream,
        },
        invoke::{
            chat::{
                family_reader,
                headers::ReplyHeaders,
                reply::{Envelope, Reader, Reply},
            },
            parse,
        },
    },
};

/// The counter of a streamed reply.
pub enum Count {
    Converse(Box<ConverseCount>),
    Invoke(Box<InvokeCount>),
}

impl Count {
    /// Adds an event. Returns the usage once it is complete.
    ///
    /// # Errors
    /// If an event that reports the usage is not JSON.
    pub fn event(&mut self, event_type: &str, payload: &[u8]) -> Result<Option<Usage>, Error> {
        match self {
            Self::Converse(count) => count.event(event_type, payload),
            Self::Invoke(count) if event_type == "chunk" => count.chunk(payload),
            Self::Invoke(_) => Ok(None),
        }
    }
}

/// The answer of Converse so far.
pub struct ConverseCount {
    plan: Arc<ReplyPlan>,
    answer: Answer,
    /// What a chat would get. It is dropped.
    chunks: VecDeque<Chunk>,
    stopped: bool,
    reasoning: Option<u64>,
    /// Metadata that arrived before the end of the message.
    metadata: Option<Metadata>,
}

impl ConverseCount {
    /// Creates the count of one reply.
    pub fn new(plan: Arc<ReplyPlan>) -> Self {
        Self {
            answer: Answer::new(plan.clone(), Warnings::default()),
            plan,
            chunks: VecDeque::new(),
            stopped: false,
            reasoning: None,
            metadata: None,
        }
    }

    /// Adds to the answer.
    pub fn add(&mut self, add: impl FnOnce(&mut Answer, &mut VecDeque<Chunk>)) {
        add(&mut self.answer, &mut self.chunks);
        self.chunks.clear();
    }

    /// Ends the message.
    pub fn stop(&mut self, stop_reason: &str, fields: Option<&Value>) {
        // Only what it records about the size of the answer matters.
        let _ = self
            .answer
            .finish(Stop::new(stop_reason, None), &mut self.chunks);
        self.chunks.clear();
        self.reasoning = reasoning_tokens(fields);
        self.stopped = true;
    }

    /// Returns the usage of the answer that `metadata` reports.
    pub fn usage(&self, metadata: Metadata) -> Usage {
        let trace = metadata.trace.as_ref();
        let terms = Terms {
            tier: metadata.service_tier,
            performance: metadata.performance_config,
            router: trace.and_then(|trace| trace.prompt_router.as_ref()),
            guardrail: trace.and_then(|trace| trace.guardrail.as_ref()),
        };
        let reported = metadata.usage.into();
        usage(
            &reported,
            terms,
            self.reasoning,
            self.answer.size,
            &self.plan,
        )
    }

    fn event(&mut self, event_type: &str, payload: &[u8]) -> Result<Option<Usage>, Error> {
        match event_type {
            // An event of a new form passes on, uncounted.
            "contentBlockStart" => {
                if let Ok(event) = stream::parse(payload) {
                    self.add(|answer, chunks| stream::start(&event, answer, chunks));
                }
            }
            "contentBlockDelta" => {
                if let Ok(event) = stream::parse(payload) {
                    self.add(|answer, chunks| stream::delta(event, answer, chunks));
                }
            }
            "contentBlockStop" => {
                if let Ok(event) = stream::parse::<ContentBlockStop>(payload) {
                    self.add(|answer, chunks| {
                        answer.block_stop(event.content_block_index, chunks);
                    });
                }
            }
            "messageStop" => {
                let event: MessageStop<'_> = stream::parse(payload)?;
                self.stop(
                    &event.stop_reason,
                    event.additional_model_response_fields.as_ref(),
                );
            }
            "metadata" => self.metadata = Some(stream::parse(payload)?),
            _ => {}
        }
        let metadata = self.metadata.take_if(|_| self.stopped);
        Ok(metadata.map(|metadata| self.usage(metadata)))
    }
}

/// The answer of InvokeModel so far.
pub struct InvokeCount {
    /// `None` if the gateway does not know the family, or a reply did not have its form.
    reader: Option<Box<dyn Reader>>,
    reply: Reply,
}

/// A `chunk` event of InvokeModelWithResponseStream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PayloadPart {
    bytes: String,
}

impl InvokeCount {
    /// Creates the count of a reply with these headers.
    pub fn new(plan: Arc<ReplyPlan>, family: Option<InvokeFamily>, headers: &HeaderMap) -> Self {
        let headers = ReplyHeaders::read(headers);
        Self {
            reader: family.map(family_reader),
            reply: Reply::new(plan, Warnings::default(), headers),
        }
    }

    /// Returns the usage of a whole reply.
    pub fn whole(mut self, body: &[u8]) -> Usage {
        self.add(body, |reader, reply| reader.whole(body, reply));
        self.reply.settle()
    }

    fn chunk(&mut self, payload: &[u8]) -> Result<Option<Usage>, Error> {
        let part: PayloadPart = parse(payload)?;
        let event = STANDARD.decode(&part.bytes).unwrap_or_default();
        self.add(&event, |reader, reply| reader.event(&event, reply));
        // The last event has the metrics, in every family.
        Ok(self.reply.has_metrics().then(|| self.reply.settle()))
    }

    /// Adds a body or an event. Some families end with a text that is not JSON.
    fn add(
        &mut self,
        json: &[u8],
        read: impl FnOnce(&mut dyn Reader, &mut Reply) -> Result<(), Error>,
    ) {
        let Ok(envelope) = serde_json::from_slice::<Envelope>(json) else {
            return;
        };
        self.reply.envelope(envelope);
        let result = self
            .reader
            .as_deref_mut()
            .map(|reader| read(reader, &mut self.reply));
        self.reply.chunks.clear();
        if !matches!(result, Some(Ok(()))) {
            // All of it could be output.
            self.reply.answer.size.reply_bytes += json.len();
        }
    }
}
