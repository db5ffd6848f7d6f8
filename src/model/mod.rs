//! The vocabulary of models: their names, targets, options, capabilities and limits.

mod definition;
mod facts;
mod fallbacks;
pub mod guardrail;
mod imported;
mod invoke;
mod lifecycle;
mod limits;
mod native;
mod output_limit;
mod route;
mod schemas;
mod targets;
mod timeouts;
mod units;

pub use definition::{
    Api, Apply, CachePolicy, DroppedParameters, Guardrail, Model, ModelDefaults, ModelOptions,
    RAW_LABEL, Residency, RetryPolicy,
};
pub use facts::{
    Cache, Embed, EmbedFamily, Facts, Reasoning, ReasoningStyle, Sampling, ToolChoiceMode,
    ToolNameForm, ToolUseIdForm,
};
pub use fallbacks::Fallbacks;
pub use invoke::{Invoke, InvokeFamily};
pub use lifecycle::{Lifecycle, LifecycleStatus};
pub use limits::Limits;
pub use native::{Cap, Endpoints, MantlePrefix, Native, NativeTools};
pub use output_limit::{AUTO_LEAST, AUTO_MOST, DefaultMaxTokens};
pub use route::Route;
pub use schemas::{SchemaRoot, StrictLimits};
pub use targets::{Strategy, Target, Targets};
pub use timeouts::Timeouts;
pub use units::{Draw, DrawFamily, Purpose, RerankFamily};
