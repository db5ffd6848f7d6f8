//! The vocabulary of models: their names, targets, options, capabilities and limits.

mod definition;
mod facts;
pub mod guardrail;
mod imported;
mod invoke;
mod lifecycle;
mod limits;
mod native;
mod route;
mod schemas;
mod units;

pub use definition::{
    Api, Apply, CachePolicy, DroppedParameters, Guardrail, Model, ModelDefaults, ModelOptions,
    Residency, RetryPolicy, Target, Targets, Timeouts,
};
pub use facts::{
    Cache, Embed, EmbedFamily, Facts, Reasoning, ReasoningStyle, Sampling, ToolChoiceMode,
    ToolNameForm, ToolUseIdForm,
};
pub use invoke::{Invoke, InvokeFamily};
pub use lifecycle::{Lifecycle, LifecycleStatus};
pub use limits::Limits;
pub use native::{Cap, Endpoints, MantlePrefix, Native, NativeTools};
pub use route::Route;
pub use schemas::{SchemaRoot, StrictLimits};
pub use units::{Draw, DrawFamily, Purpose, RerankFamily};
