//! The operation that counts the input tokens of a chat without asking the model. It costs nothing.

use super::{CallEnd, EndReason, Operation, Reply, chat::Chat};
use crate::{
    call::{Caller, Delivery, Plan, Route},
    error::Error,
    model::Model,
    money::{NanoUsd, Usage, WorstCase},
};

/// A request to count the input tokens of a chat.
#[derive(Clone, Debug)]
pub struct CountTokens {
    pub chat: Chat,
}

/// The number of input tokens of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCount {
    pub input_tokens: u64,
    pub source: CountSource,
}

/// Who counted the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountSource {
    /// Bedrock, with the model's tokenizer.
    Service,
    /// The gateway. The model counts at most this many tokens.
    Bound,
}

impl CountSource {
    /// The value of `source` in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Bound => "bound",
        }
    }
}

impl CountTokens {
    /// Returns the most input tokens that `model` can count: what budgets reserve for the chat.
    ///
    /// # Errors
    /// 404 if the model does not chat, and 400 if its options reject the chat.
    pub fn bound(&self, model: &Model, caller: &Caller) -> Result<TokenCount, Error> {
        // The bound of a chat that may be repeated includes the first answer.
        let mut once = model.clone();
        once.options.repair_json = false;
        Ok(TokenCount {
            input_tokens: self.chat.plan(&once, caller)?.worst.input_tokens,
            source: CountSource::Bound,
        })
    }
}

impl Operation for CountTokens {
    type Reply = TokenCount;
    const NAME: &'static str = "count_tokens";
    const SIZE_MEMBER: &'static str = "messages";

    fn plan(&self, model: &Model, caller: &Caller) -> Result<Plan, Error> {
        // The same checks as for the chat.
        self.chat.plan(model, caller)?;
        Ok(Plan {
            // Bedrock counts the tokens of a Converse request, whatever route the chat would take.
            route: Route::Converse,
            reason: None,
            delivery: Delivery::Whole,
            worst: WorstCase::default(),
            compiles: None,
            visible: false,
        })
    }

    fn likely_tokens(&self, _: &Model) -> u64 {
        0
    }

    fn max_cost(&self) -> Option<NanoUsd> {
        None
    }

    fn cost_advice(&self) -> &'static str {
        "Counting tokens costs nothing"
    }
}

impl Reply for TokenCount {
    fn on_end(self, f: impl FnOnce(&CallEnd) + Send + 'static) -> Self {
        f(&CallEnd {
            reason: EndReason::Complete,
            usage: None,
            finish_reason: None,
        });
        self
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn usage(&self) -> Option<Usage> {
        None
    }
}
