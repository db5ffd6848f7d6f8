//! What can be asked of a model. An operation is the only home of the rules that belong to it;
//! governance works on [`Call`](crate::call::Call) for all of them.

pub mod chat;
pub mod embed;
mod reply;

pub use reply::{CallEnd, EndReason, OutputLimit, Reply, Served};

use crate::{
    call::{Caller, Plan},
    error::{Error, Kind},
    model::Model,
    money::NanoUsd,
};

/// A request in the gateway's own words, whatever dialect it came in and whatever route it takes.
pub trait Operation: Clone + Send + Sync + 'static {
    type Reply: Reply;

    /// OpenTelemetry's `gen_ai.operation.name`.
    const NAME: &'static str;

    /// The member of a request that makes it smaller.
    const SIZE_MEMBER: &'static str;

    /// Decides how the request travels to `model`, and the most that it can cost.
    ///
    /// # Errors
    /// 404 if no route serves this operation on the model.
    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error>;

    /// The number of tokens that the request probably needs, for limits that are corrected when it
    /// ends.
    fn likely_tokens(&self, model: &Model) -> u64;

    /// The most that the client is willing to pay, if it says so.
    fn max_cost(&self) -> Option<NanoUsd>;

    /// The same request with at most `tokens` of output, if its output can be limited.
    fn limited(&self, _model: &Model, _tokens: u32) -> Option<Self> {
        None
    }

    /// What the client can do to make the request cheaper: the end of an error message.
    fn cost_advice(&self) -> &'static str;
}

/// The error for a model that cannot be asked this.
pub fn not_served(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::NotFound, text)
        .with_code("model_not_found")
        .with_param("model")
}
