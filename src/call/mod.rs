//! The vocabulary of the inside: what a call is, who makes it, on which model, and what comes back.

mod alert;
mod budget;
mod caller;
mod facts;
mod fetched;
mod knowledge_base;
mod limits;
mod model;
mod notes;
mod price;
mod reply;
mod retrieval;
mod secret;
mod spending;
mod usage;
mod worst_case;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use alert::{Alert, Alerts};
pub use budget::{Budget, Mode, Per};
pub use caller::{Caller, EndUsers, Team};
pub use facts::{
    Cache, Facts, Lifecycle, LifecycleStatus, Reasoning, ReasoningStyle, Sampling, ToolChoiceMode,
    ToolUseIdForm,
};
pub use fetched::Fetched;
pub use knowledge_base::{
    KnowledgeBase, KnowledgeBaseKind, MAX_CONTEXT, MAX_PAGES, MAX_RESULTS, OnError, PASSAGE_BYTES,
    Question, Rerank, RerankModel, SOURCE_BYTES, Search, SearchType,
};
pub use limits::Limits;
pub use model::{
    CachePolicy, DroppedParameters, Guardrail, Model, ModelDefaults, ModelOptions, RetryPolicy,
    Target, Timeouts,
};
pub use notes::Notes;
pub use price::{Cost, LongContext, NanoUsd, PicoUsd, Price, Tier};
pub use reply::{
    ChatReply, ChoiceChunk, Chunk, ChunkStream, Ending, Ends, How, WholeChoice, WholeReply,
};
pub use retrieval::{Passage, Retrieval, Retrieved, Searched};
pub use secret::Secret;
pub use spending::{Spending, Spent, Ticket};
pub use usage::Usage;
pub use worst_case::WorstCase;

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

    /// The same with at most so many tokens of output, where that can be had.
    fn limited(&self, _: &Model, _tokens: u32) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// The most that the client wants to pay, if it says.
    fn max_cost(&self) -> Option<NanoUsd> {
        None
    }

    /// The answer comes piece by piece, and all of it can be seen as it comes.
    fn streams_visibly(&self, _: &Model) -> bool {
        false
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
        let schema = self
            .response_format
            .as_ref()?
            .json_schema
            .as_ref()?
            .schema
            .as_ref()?;
        let mut hasher = DefaultHasher::new();
        schema.get().hash(&mut hasher);
        Some(hasher.finish())
    }

    fn limited(&self, model: &Model, tokens: u32) -> Option<Self> {
        // Thinking has a budget of its own, below which the service refuses the call.
        let thinks = self.reasoning_effort.is_some() || self.reasoning.is_some();
        if thinks && model.facts.reasoning.style != ReasoningStyle::None
            || tokens < model.facts.min_output_tokens
        {
            return None;
        }
        Some(Self {
            max_completion_tokens: Some(tokens),
            max_tokens: None,
            ..self.clone()
        })
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        self.max_cost_usd
            .as_deref()
            .and_then(|text| NanoUsd::parse(text.get()))
    }

    fn streams_visibly(&self, model: &Model) -> bool {
        // Thinking may be hidden, and calls beyond the first are left out where the client wants one.
        let reasons = self.reasoning_effort.is_some()
            || self.reasoning.is_some()
            || model.facts.reasoning.default_on;
        let left_out = self.parallel_tool_calls == Some(false)
            || self.functions.is_some()
            || self.tool_choice.is_some();
        self.is_stream() && !model.answers_whole(self) && !reasons && !left_out
    }
}

/// A limit or budget that a call falls under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `key:ID`, `key:ID/model:NAME`, `key:ID/user:HASH`, `team:NAME` or `model:NAME`.
    pub id: String,
    pub limits: Limits,
}

impl<T> Call<T> {
    /// The limits that the call falls under, in the order in which they are asked. The model of a raw id has none.
    pub fn scopes(&self) -> Vec<Scope> {
        let key = format!("key:{}", self.caller.key_id);
        let mut scopes = vec![Scope {
            id: key.clone(),
            limits: self.caller.limits,
        }];
        let on_model = self
            .caller
            .model_limits
            .iter()
            .filter(|(name, _)| *name == self.model.name);
        scopes.extend(on_model.map(|(name, limits)| Scope {
            id: format!("{key}/model:{name}"),
            limits: *limits,
        }));
        if let Some(users) = self
            .caller
            .end_users
            .as_ref()
            .filter(|_| !self.end_user.is_empty())
        {
            scopes.push(Scope {
                id: format!("{key}/user:{}", self.end_user),
                limits: users.limits,
            });
        }
        if let Some(team) = &self.caller.team {
            scopes.push(Scope {
                id: format!("team:{}", team.name),
                limits: team.limits,
            });
        }
        scopes.push(Scope {
            id: format!("model:{}", self.model.label()),
            limits: self.model.limits,
        });
        scopes.retain(|scope| !scope.limits.is_none());
        scopes
    }

    /// The budgets that the call falls under, without the gateway's.
    pub fn budgets(&self) -> Vec<Arc<Budget>> {
        let mut budgets = self.caller.budgets.clone();
        if let Some(users) = self
            .caller
            .end_users
            .as_ref()
            .filter(|_| !self.end_user.is_empty())
        {
            let scope = format!("key:{}/user:{}", self.caller.key_id, self.end_user);
            budgets.extend(
                users
                    .budgets
                    .iter()
                    .map(|budget| Arc::new(budget.of(&scope))),
            );
        }
        budgets.extend(
            self.caller
                .team
                .iter()
                .flat_map(|team| team.budgets.iter().cloned()),
        );
        budgets.extend(self.model.budgets.iter().cloned());
        budgets
    }
}

/// The member of Bedrock's `requestMetadata` that leads from a line of its invocation log to a record of the ledger.
pub const REQUEST_ID: &str = "lintel_request_id";

/// A parsed request of a known caller for a resolved model.
#[derive(Debug)]
pub struct Call<T> {
    /// The id that the client sees in `x-request-id`.
    pub request_id: Arc<str>,
    pub caller: Arc<Caller>,
    pub model: Arc<Model>,
    pub body: Arc<T>,
    /// The size of the request's body.
    pub body_bytes: usize,
    pub notes: Notes,
    /// Media by URL that were fetched for this call.
    pub fetched: Fetched,
    /// What Knowledge Bases are asked; none: the model answers alone.
    pub question: Option<Arc<Question>>,
    /// What they have found.
    pub retrieved: Retrieved,
    /// When the last byte of the request was there.
    pub received: Instant,
    pub upstream: Upstream,
    pub worst: WorstCase,
    /// The account of the end user within the caller's; empty where they are not told apart.
    pub end_user: String,
    pub spending: Spending,
    pub allowance: Allowance,
}

/// How much of the rate limits is left: what the limits know and the client is told.
#[derive(Clone, Debug, Default)]
pub struct Allowance(Arc<Mutex<Allowed>>);

/// The tightest limit of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    pub requests: Option<Remaining>,
    pub tokens: Option<Remaining>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    pub limit: u64,
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
}

impl Allowance {
    pub fn requests(&self, one: Remaining) {
        self.with(|allowed| allowed.requests = tightest(allowed.requests, one));
    }

    pub fn tokens(&self, one: Remaining) {
        self.with(|allowed| allowed.tokens = tightest(allowed.tokens, one));
    }

    pub fn get(&self) -> Allowed {
        let mut copy = Allowed::default();
        self.with(|allowed| copy = *allowed);
        copy
    }

    fn with(&self, change: impl FnOnce(&mut Allowed)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The one of which the smaller part is left.
fn tightest(before: Option<Remaining>, one: Remaining) -> Option<Remaining> {
    let part = |r: &Remaining| u128::from(r.remaining) * 1_000_000 / u128::from(r.limit.max(1));
    before
        .filter(|before| part(before) <= part(&one))
        .or(Some(one))
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
