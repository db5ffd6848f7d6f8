//! Operations on models. The rules of an operation are only here; governance works on [`Call`](crate::call::Call) for
//! all operations.

pub mod chat;
pub mod count;
pub mod draw;
pub mod embed;
pub mod expansion;
pub mod guarded;
pub mod input_only;
pub mod moderate;
pub mod passthrough;
pub mod rank;
mod reply;

pub use reply::{CallEnd, EndReason, OutputLimit, Reply, Served};

use crate::{
    call::{Caller, Plan},
    error::{Error, Kind},
    model::Model,
    money::NanoUsd,
};

/// A request in the gateway's own form, independent of the client's dialect and of the route to Bedrock.
pub trait Operation: Clone + Send + Sync + 'static {
    type Reply: Reply;

    /// OpenTelemetry's `gen_ai.operation.name`.
    const NAME: &'static str;

    /// The member of the request that the client can lower to make it smaller.
    const SIZE_MEMBER: &'static str;

    /// Decides the route of the request to `model`, its delivery, and the most that it can cost.
    ///
    /// # Errors
    /// 404 if no route serves this operation on the model, and 400 if the model's options reject the request.
    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error>;

    /// Estimates the number of tokens that the request needs. Rate limits replace it by the actual number when the call
    /// ends.
    fn likely_tokens(&self, model: &Model) -> u64;

    /// Estimates the number of tokens that AWS takes from its quota when it admits the request: those of its input, and the
    /// most output, whatever answers need.
    fn admitted_tokens(&self, model: &Model) -> u64 {
        self.likely_tokens(model)
    }

    /// Returns a hash that requests share which profit from being answered in one region, because they begin with the same
    /// cached prompt. `None` if the region does not matter.
    fn affinity(&self, _model: &Model, _caller: &Caller) -> Option<u64> {
        None
    }

    /// The client wants the reply as a stream.
    fn is_stream(&self) -> bool {
        false
    }

    /// The client's own limit on the cost of the request, if it sets one.
    fn max_cost(&self) -> Option<NanoUsd>;

    /// Returns the request with at most `tokens` of output, or `None` if its output cannot be limited to that.
    fn limited(&self, _model: &Model, _tokens: u32) -> Option<Self> {
        None
    }

    /// Returns the request with `tokens` instead of the automatic default limit of the output, or `None` if the client or
    /// the operator sets a limit, or the default is not larger. Unlike [`limited`](Self::limited), this leaves out what
    /// reasoning adds to the default.
    fn with_default_limit(&self, _model: &Model, _tokens: u32) -> Option<Self> {
        None
    }

    /// Returns the path of a member that may change what the request costs in a way that the gateway does not know, unless
    /// the caller's key allows it. Such a request is rejected under a budget.
    fn unbounded_member(&self, _model: &Model, _caller: &Caller) -> Option<String> {
        None
    }

    /// Advice on how to make the request cheaper: a sentence without a final period, for error messages.
    fn cost_advice(&self) -> &'static str;
}

/// The error for a model that does not support the operation.
pub fn not_served(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::NotFound, text)
        .with_code("model_not_found")
        .with_param("model")
}
