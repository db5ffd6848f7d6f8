//! The chat operation: answers conversations, whole or as a stream.

mod affinity;
pub mod bedrock_options;
mod chunk;
mod conversation;
mod delivery;
mod effort;
pub mod guard;
mod limited;
mod media_data;
pub mod messages_options;
mod object_scan;
pub mod raw_fields;
mod reply;
pub mod route;
pub mod worst_case;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use serde_json::value::RawValue;

pub use chunk::{BoxChunks, ChoiceChunk, Chunk};
pub use conversation::{
    Media, Message, Origin, Part, RedactedThinking, RetrievedText, Role, TOOL_FAILED, Thinking,
    ToolInput, ToolReference, ToolResult, ToolUse, unmarked,
};
pub use effort::{
    Amount, MAX_BUDGET, MIN_BUDGET, ReasoningRequest, SCALE, VISIBLE, budget_of, effort_for,
    nearest_effort,
};
pub use media_data::{MediaData, is_inline};
pub use messages_options::{MessagesOptions, SentOptions};
pub use object_scan::{ObjectScan, Progress};
pub use reply::{ChatReply, ChunkStream, WholeReply};
pub use worst_case::{MAX_VIDEO_SECONDS, least_output};

use super::Operation;
use crate::{
    call::{Caller, Delivery, Plan, RetrievalRequest},
    error::Error,
    model::{CachePolicy, DefaultMaxTokens, Model, ReasoningStyle},
    money::{NanoUsd, Tier},
    openai::{
        chat::{Deferral, Function, PromptCacheOptions, ResponseFormat, Tool},
        extension::BedrockOptions,
        message::CacheControl,
        stop::Stop,
        tool_choice::ToolChoice,
    },
};

/// OpenAI's names of the web search tool, current and older.
pub const WEB_SEARCH: [&str; 2] = ["web_search", "web_search_preview"];

/// A chat request. Members without documentation are those of
/// <https://platform.openai.com/docs/api-reference/chat/create>.
#[derive(Clone, Debug, Default)]
pub struct Chat {
    pub messages: Vec<Message>,
    /// More conversations to answer, each with `n` choices, such as the further prompts of a legacy completion.
    pub more: Vec<Vec<Message>>,
    pub stream: bool,
    pub max_completion_tokens: Option<u32>,
    pub max_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub stop: Option<Stop>,
    pub n: Option<u32>,
    pub tools: Option<Vec<Tool>>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub seed: Option<i64>,
    /// The reply has the log probability of each of its tokens, and of this many alternatives.
    pub logprobs: Option<u32>,
    pub user: Option<String>,
    /// `user` is sent on only as a hash, whatever the operator's setting.
    pub hides_user: bool,
    /// The reply shows why the model refused.
    pub wants_stop_details: bool,
    /// The list of tools is another one than in the request before, although the client's is the same.
    pub changes_tools: bool,
    pub safety_identifier: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub store: Option<bool>,
    pub service_tier: Option<String>,
    pub response_format: Option<ResponseFormat>,
    /// The reasoning that the client requests. If `None`, the model's default applies.
    pub reasoning: Option<ReasoningRequest>,
    /// Whether the reply leaves out the reasoning.
    pub hide_reasoning: bool,
    pub verbosity: Option<String>,
    pub prompt_cache_key: Option<String>,
    pub prompt_cache_retention: Option<String>,
    pub prediction: Option<Box<RawValue>>,
    pub web_search_options: Option<Box<RawValue>>,
    pub functions: Option<Vec<Function>>,
    pub function_call: Option<ToolChoice>,
    pub top_k: Option<u32>,
    pub prompt_cache_options: Option<PromptCacheOptions>,
    /// Anthropic's request for automatic cache points.
    pub cache_control: Option<CacheControl>,
    /// The client speaks OpenAI's Responses, so a route that does so, too, loses the least.
    pub has_items: bool,
    /// The options that only Anthropic's Messages has.
    pub messages_options: MessagesOptions,
    pub bedrock: Option<BedrockOptions>,
    /// Only the tokens of the chat are counted.
    pub counts: bool,
    /// A limit of the output that replaces the model's default, in tokens, because a budget does not admit the default.
    pub default_tokens: Option<u32>,
    /// The client's limit on the cost.
    pub max_cost: Option<NanoUsd>,
    /// The Knowledge Bases to search before the model is called. If `None`, the model answers without retrieval.
    pub retrieval: Option<Arc<RetrievalRequest>>,
    /// The bytes of the request's body and of what the gateway added to it. Bounds the input tokens.
    pub bytes: usize,
    /// The bytes that the text gains if a tokenizer normalizes it.
    pub expansion: usize,
    /// The media that the request names by URL, as Base64, by URL.
    pub fetched: HashMap<String, String>,
    /// Set once a guardrail has judged what the client sent, except media behind URLs.
    pub judged: Option<guard::Assessments>,
}

impl Chat {
    /// The number of answers, for all conversations together.
    pub fn choices(&self) -> u32 {
        let conversations = u32::try_from(1 + self.more.len()).unwrap_or(u32::MAX);
        self.n.unwrap_or(1).saturating_mul(conversations)
    }

    /// Iterates over all conversations, in the order of their choices.
    pub fn conversations(&self) -> impl Iterator<Item = &Vec<Message>> + Clone {
        std::iter::once(&self.messages).chain(&self.more)
    }

    /// Reports whether the client requests an answer in JSON.
    pub fn wants_json(&self) -> bool {
        self.response_format
            .as_ref()
            .is_some_and(|format| format.kind != "text")
    }

    /// The tier that the client requests, as it is billed.
    pub fn tier(&self) -> Tier {
        let performance = self
            .bedrock
            .as_ref()
            .and_then(|own| own.performance.as_deref());
        match self.service_tier.as_deref() {
            _ if performance == Some("optimized") => Tier::Optimized,
            Some("flex") => Tier::Flex,
            Some("priority" | "fast") => Tier::Priority,
            _ => Tier::Standard,
        }
    }

    /// Reports whether the gateway places cache points in addition to the client's: if the operator wants it, or for
    /// `cache_control` of the whole request. OpenAI's cache members alone do not, because writing a cache costs more than
    /// input, and clients send them unasked.
    pub fn caches_automatically(&self, model: &Model, caller: &Caller) -> bool {
        let mode = self
            .prompt_cache_options
            .as_ref()
            .and_then(|options| options.mode.as_deref());
        let cache = self
            .bedrock
            .as_ref()
            .and_then(|bedrock| bedrock.cache.as_deref());
        let policies = [model.options.cache, caller.cache];
        let wanted = cache == Some("auto")
            || policies.contains(&CachePolicy::Auto)
            || self.cache_control.is_some();
        mode != Some("explicit") && wanted
    }

    /// Reports whether the client marks what to cache.
    pub fn marks_cache(&self) -> bool {
        worst_case::marks_cache(self)
    }

    /// Reports whether the client requests the longest retention of cached prompts.
    pub fn keeps_cache(&self) -> bool {
        let ttl = self
            .cache_control
            .as_ref()
            .and_then(|one| one.ttl.as_deref());
        self.prompt_cache_retention.as_deref() == Some("24h") || ttl == Some("1h")
    }

    /// Reports whether the gateway's own edits, which differ from request to request, change what precedes the model's
    /// thinking, although the model accepts only thinking whose prefix is the same. `defers_tools` means that the route
    /// adds the tools that a search finds without changing the list.
    pub fn changes_prefix(&self, model: &Model, defers_tools: bool) -> bool {
        let is_found = |tool: &Tool| tool.deferral == Deferral::Found;
        let found = || !defers_tools && self.tools.iter().flatten().any(is_found);
        let is_changed = self.retrieval.is_some() || self.changes_tools;
        model.facts.reasoning.bound && (is_changed || found())
    }

    /// The client's limit of the output, in tokens.
    pub fn requested_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// The limit of the output that applies if the client sets none, in tokens, without what reasoning adds to it.
    pub fn default_tokens(&self, model: &Model) -> u32 {
        self.default_tokens
            .unwrap_or_else(|| worst_case::default_tokens(self, model))
    }

    fn asks_for_reasoning(&self) -> bool {
        self.reasoning.is_some()
    }

    /// Returns a hash of the schema that the service compiles before a stream can begin, if there is one.
    fn compiles(&self, model: &Model) -> Option<u64> {
        if !model.facts.structured_output || !self.stream {
            return None;
        }
        let format = self.response_format.as_ref()?;
        let schema = format.json_schema.as_ref()?.schema.as_ref()?;
        let mut hasher = DefaultHasher::new();
        schema.get().hash(&mut hasher);
        Some(hasher.finish())
    }

    /// Reports whether the client sees all output of the model.
    fn is_visible(&self, model: &Model) -> bool {
        // Reasoning can be hidden, and calls beyond the first are dropped if the client wants only one.
        let reasons = self.asks_for_reasoning() || model.facts.reasoning.default_on;
        let drops_calls = self.parallel_tool_calls == Some(false)
            || self.functions.is_some()
            || self.tool_choice.is_some();
        !reasons && !self.hide_reasoning && !drops_calls
    }
}

impl Operation for Chat {
    type Reply = ChatReply;
    const NAME: &'static str = "chat";
    const SIZE_MEMBER: &'static str = "max_tokens";

    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error> {
        let choice = route::of(self, model, caller)?;
        if let Some(options) = &self.bedrock {
            bedrock_options::check(options)?;
        }
        let most = model.options.max_n;
        if let Some(n) = self.n.filter(|n| *n > most) {
            let text = format!("'n' is {n}; at most {most} choices are allowed for this model.");
            return Err(Error::invalid("n", text));
        }
        let delivery = delivery::of(self, model);
        Ok(Plan {
            route: choice.route,
            reason: choice.reason,
            delivery,
            worst: worst_case::worst_case(self, model, caller, choice.route),
            compiles: self.compiles(model),
            visible: delivery == Delivery::Stream
                && self.is_visible(model)
                && !guard::covers_output(model, caller),
        })
    }

    fn likely_tokens(&self, model: &Model) -> u64 {
        worst_case::likely_tokens(self, model)
    }

    fn admitted_tokens(&self, model: &Model) -> u64 {
        worst_case::admitted_tokens(self, model)
    }

    fn affinity(&self, model: &Model, caller: &Caller) -> Option<u64> {
        self.cache_affinity(model, caller)
    }

    fn is_stream(&self) -> bool {
        self.stream
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        self.max_cost
    }

    fn limited(&self, model: &Model, tokens: u32) -> Option<Self> {
        // Reasoning has a budget of its own, and the service rejects a smaller limit.
        let thinks =
            self.asks_for_reasoning() && model.facts.reasoning.style != ReasoningStyle::None;
        let routes = &model.facts.routes;
        let may_raise = routes.iter().any(|route| route.is_responses());
        if thinks || tokens < least_output(&model.facts, may_raise) {
            return None;
        }
        Some(Self {
            max_completion_tokens: Some(tokens),
            max_tokens: None,
            ..self.clone()
        })
    }

    fn with_default_limit(&self, model: &Model, tokens: u32) -> Option<Self> {
        let lowers = self.requested_tokens().is_none()
            && model.defaults.max_tokens == DefaultMaxTokens::Auto
            && tokens < self.default_tokens(model);
        lowers.then(|| Self {
            default_tokens: Some(tokens),
            ..self.clone()
        })
    }

    fn unbounded_member(&self, _: &Model, caller: &Caller) -> Option<String> {
        let fields = self.bedrock.as_ref()?;
        let fields = fields.additional_model_request_fields.as_ref()?;
        let allowed = |name: &str| caller.raw_fields.iter().any(|glob| glob.matches(name));
        let name = raw_fields::first_unbounded(fields, allowed)?;
        Some(format!("bedrock.additional_model_request_fields.{name}"))
    }

    fn cost_advice(&self) -> &'static str {
        match self.retrieval {
            Some(_) => "Lower max_tokens, or max_context_chars of 'kb'",
            None => "Lower max_tokens",
        }
    }
}
