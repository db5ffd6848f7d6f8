use std::{sync::Arc, time::Duration};

use super::{DefaultMaxTokens, Facts, Fallbacks, Limits, Route, Target, Targets, Timeouts};
use crate::money::{Budget, Price};

/// The `model` label of all raw Bedrock ids, because clients choose them.
pub const RAW_LABEL: &str = "unknown";

/// The policy for retries of transient failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most requests to Bedrock for one answer, including the first.
    pub attempts: u32,
    /// The longest backoff before the second request. It doubles with each further request.
    pub base: Duration,
    /// The upper limit of the backoff.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(5),
        }
    }
}

/// Values for parameters that a request omits.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDefaults {
    pub max_tokens: DefaultMaxTokens,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
}

/// The handling of a parameter that the model does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DroppedParameters {
    /// The parameter is dropped, and the reply carries a warning.
    Warn,
    /// The request is rejected.
    Refuse,
}

/// The source of cache points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachePolicy {
    /// Only the client's `cache_control`.
    #[default]
    Marked,
    /// The gateway also places cache points where they save money.
    Auto,
}

/// A guardrail of a key or a model. Clients cannot replace it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardrail {
    pub identifier: String,
    /// `DRAFT` or a version number.
    pub version: String,
    /// `enabled`, `disabled` or `enabled_full`.
    pub trace: Option<String>,
    /// `sync` or `async`.
    pub stream_processing_mode: Option<String>,
    /// The reply includes the trace. It can contain personal data.
    pub show_trace: bool,
    /// What the gateway applies the guardrail to, with requests of its own. If `None`, the call to the model carries the
    /// guardrail.
    pub apply: Option<Apply>,
}

/// The texts that the gateway applies a guardrail to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    Input,
    Output,
    Both,
}

impl Apply {
    pub fn covers_input(self) -> bool {
        matches!(self, Self::Input | Self::Both)
    }

    pub fn covers_output(self) -> bool {
        matches!(self, Self::Output | Self::Both)
    }
}

/// The API of Bedrock that an operator chooses for a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// The gateway chooses.
    #[default]
    Auto,
    Converse,
    /// InvokeModel.
    Invoke,
    /// OpenAI's chat completions on bedrock-runtime.
    Chat,
    /// OpenAI's Responses on bedrock-runtime, or on bedrock-mantle if only that serves the model.
    Responses,
    /// Anthropic's Messages on bedrock-runtime.
    Messages,
    /// An API of bedrock-mantle.
    Mantle,
}

impl Api {
    /// The routes of chats that the operator allows, of which the model's first is used. Empty if the gateway chooses.
    pub fn routes(self) -> &'static [Route] {
        match self {
            Self::Auto => &[],
            Self::Converse => &[Route::Converse],
            Self::Invoke => &[Route::Invoke],
            Self::Chat => &[Route::Chat],
            Self::Responses => &[Route::Responses, Route::MantleResponses],
            Self::Messages => &[Route::Messages],
            Self::Mantle => &[
                Route::MantleChat,
                Route::MantleResponses,
                Route::MantleMessages,
            ],
        }
    }
}

/// The inference profiles that the gateway may choose for a bare id that needs one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// That of the region's geography, or else the global one.
    #[default]
    Any,
    /// Only one of the region's geography.
    Geography,
    /// Only those with this prefix.
    Profile(&'static str),
}

/// Options of a configured model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    pub api: Api,
    /// bedrock-mantle may serve the model.
    pub mantle: bool,
    pub residency: Residency,
    /// The largest `n` of a request. Each choice is a request to Bedrock.
    pub max_n: u32,
    pub cache: CachePolicy,
    pub guardrail: Option<Guardrail>,
    /// Makes a second request if structured output that the model cannot be forced to produce does not match its
    /// schema.
    pub repair_json: bool,
    /// Continues an answer whose stream breaks after its first token, with another request.
    pub resume: bool,
    /// Puts the `name` of a message before its text.
    pub name_prefix: bool,
    /// Sends the SHA-256 of `user` and `safety_identifier` to Bedrock's model invocation log instead of the values.
    pub hash_users: bool,
    /// Requests carry a Bedrock API key, which only bedrock-runtime accepts, and no signature.
    pub has_api_key: bool,
    /// Sends the file names of documents instead of generated ones.
    pub keep_file_names: bool,
    /// The severity, from 0 to 1, from which a moderated input falls into a category.
    pub moderation_threshold: f64,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            api: Api::Auto,
            mantle: true,
            residency: Residency::Any,
            max_n: 16,
            cache: CachePolicy::Marked,
            guardrail: None,
            repair_json: false,
            resume: false,
            name_prefix: false,
            hash_users: false,
            has_api_key: false,
            keep_file_names: false,
            moderation_threshold: 0.4,
        }
    }
}

/// A model that requests can name.
#[derive(Clone, Debug)]
pub struct Model {
    /// The configured name, or the Bedrock id if `raw` is set.
    pub name: String,
    /// `name` is a Bedrock id that a client sent, and must not become a metric label.
    pub raw: bool,
    pub targets: Targets,
    pub timeouts: Timeouts,
    pub defaults: ModelDefaults,
    pub dropped_parameters: DroppedParameters,
    pub retry: RetryPolicy,
    pub description: Option<String>,
    pub use_cases: Vec<String>,
    /// The catalogue's id of the base model, if known.
    pub base: Option<String>,
    /// AWS could not be asked for the base model, so its price may be known to the next call.
    pub is_unresolved: bool,
    pub facts: Arc<Facts>,
    /// The routes on which the service has recently answered that it does not serve the model.
    pub refused: Vec<Route>,
    /// The beta flags that the service has recently refused for the model.
    pub refused_betas: Vec<String>,
    /// The price, if known.
    pub price: Option<Arc<Price>>,
    pub options: ModelOptions,
    pub limits: Limits,
    pub budgets: Vec<Arc<Budget>>,
    pub fallbacks: Fallbacks,
}

impl Model {
    /// Creates a model with the default settings.
    pub fn new(name: impl Into<String>, target: Target) -> Self {
        Self {
            name: name.into(),
            raw: false,
            targets: Targets::one(target),
            timeouts: Timeouts::default(),
            defaults: ModelDefaults {
                max_tokens: DefaultMaxTokens::Auto,
                temperature: None,
                top_p: None,
            },
            dropped_parameters: DroppedParameters::Warn,
            retry: RetryPolicy::default(),
            description: None,
            use_cases: Vec::new(),
            base: None,
            is_unresolved: false,
            facts: Arc::default(),
            refused: Vec::new(),
            refused_betas: Vec::new(),
            price: None,
            options: ModelOptions::default(),
            limits: Limits::default(),
            budgets: Vec::new(),
            fallbacks: Fallbacks::default(),
        }
    }

    /// The preferred target.
    pub fn target(&self) -> &Arc<Target> {
        &self.targets.first
    }

    /// The `model` label of metrics: the configured name, or `unknown` for a raw id, so that the number of labels is
    /// bounded.
    pub fn label(&self) -> &str {
        if self.raw { RAW_LABEL } else { &self.name }
    }
}
