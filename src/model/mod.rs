//! The vocabulary of models: their names, targets, options, capabilities and limits.

mod definition;
mod facts;
pub mod guardrail;
mod limits;
mod schemas;
mod units;

pub use definition::{
    Api, Apply, CachePolicy, DroppedParameters, Guardrail, Model, ModelDefaults, ModelOptions,
    RetryPolicy, Target, Targets, Timeouts,
};
pub use facts::{
    Cache, Embed, EmbedFamily, Facts, Lifecycle, LifecycleStatus, Reasoning, ReasoningStyle,
    Sampling, ToolChoiceMode, ToolUseIdForm,
};
pub use limits::Limits;
pub use schemas::{SchemaRoot, StrictLimits};
pub use units::{Draw, DrawFamily, RerankFamily};
