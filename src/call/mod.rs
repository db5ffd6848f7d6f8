//! The vocabulary of the inside: what a call is, who makes it, on which model, and what comes back.

mod caller;
mod facts;
mod fetched;
mod model;
mod notes;
mod price;
mod reply;
mod secret;
mod usage;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use caller::Caller;
pub use facts::{
    Cache, Facts, Lifecycle, LifecycleStatus, Reasoning, ReasoningStyle, Sampling, ToolChoiceMode, ToolUseIdForm,
};
pub use fetched::Fetched;
pub use model::{
    CachePolicy, DroppedParameters, Guardrail, Model, ModelDefaults, ModelOptions, RetryPolicy, Target, Timeouts,
};
pub use notes::Notes;
pub use price::{Cost, LongContext, NanoUsd, PicoUsd, Price, Tier};
pub use reply::{ChatReply, ChoiceChunk, Chunk, ChunkStream, Ending, Ends, How, WholeChoice, WholeReply};
pub use secret::Secret;
pub use usage::Usage;

use crate::openai::chat::ChatRequest;

/// Something that a caller may ask of a model.
pub trait Operation: Send + Sync + 'static {
    type Reply: Ends + Send + 'static;

    /// OpenTelemetry's `gen_ai.operation.name`.
    const NAME: &'static str;

    /// How long the caller waits for the reply to begin: its first token for a stream, all of it otherwise.
    fn patience(&self, model: &Model) -> Duration;

    /// A fingerprint of what the service must compile before the model can begin a stream, if there is something.
    fn compiles(&self, _: &Model) -> Option<u64> {
        None
    }
}

impl Operation for ChatRequest {
    type Reply = ChatReply;
    const NAME: &'static str = "chat";

    fn patience(&self, model: &Model) -> Duration {
        match self.is_stream() && !model.answers_whole(self) {
            true => model.timeouts.first_token,
            false => model.timeouts.whole,
        }
    }

    fn compiles(&self, model: &Model) -> Option<u64> {
        if !model.facts.structured_output || !self.is_stream() {
            return None;
        }
        let schema = self.response_format.as_ref()?.json_schema.as_ref()?.schema.as_ref()?;
        let mut hasher = DefaultHasher::new();
        schema.get().hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// A parsed request of a known caller for a resolved model.
#[derive(Debug)]
pub struct Call<T> {
    /// The id that the client sees in `x-request-id`.
    pub request_id: Arc<str>,
    pub caller: Arc<Caller>,
    pub model: Arc<Model>,
    pub body: Arc<T>,
    pub notes: Notes,
    /// Media by URL that were fetched for this call.
    pub fetched: Fetched,
    /// When the last byte of the request was there.
    pub received: Instant,
    pub upstream: Upstream,
}

/// Time that the call has waited for Bedrock so far, and how often it asked. What is left of a request's duration is our
/// own overhead.
#[derive(Clone, Debug, Default)]
pub struct Upstream(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    nanos: AtomicU64,
    attempts: AtomicU32,
}

impl Upstream {
    pub fn add_since(&self, start: Instant) {
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed))
    }

    /// One more request is sent to Bedrock.
    pub fn attempt(&self) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }
}
