//! The vocabulary of a call: its caller, its model, its plan, and the record of its outcome.

mod alert;
mod caller;
pub mod caps;
mod end_users;
mod heavy;
mod knowledge_base;
mod plan;
mod rate_limits;
mod retrieval;
mod secret;
mod spending;
mod ticket;
mod trace;
mod warnings;

use std::sync::Arc;

pub use alert::{Alert, Alerts};
pub use caller::{Caller, Guardrails, Team};
pub use caps::Caps;
pub use end_users::EndUsers;
pub use knowledge_base::{
    KnowledgeBase, KnowledgeBaseKind, MAX_CONTEXT, MAX_PAGES, MAX_RESULTS, OnError, PASSAGE_BYTES,
    Rerank, RerankModel, RetrievalRequest, SOURCE_BYTES, Search, SearchType,
};
pub use plan::{Delivery, Plan};
pub use rate_limits::{RateLimits, Remaining};
pub use retrieval::{Passage, Retrieval, SearchReport};
pub use secret::Secret;
pub use spending::{Spend, Spending};
pub use ticket::{Occupancy, SentMark, Ticket};
pub use trace::Trace;
pub use warnings::Warnings;

pub use crate::model::Route;
use crate::model::{Limits, Model};

/// The member of Bedrock's `requestMetadata` that links an entry of the model invocation log to an entry of the ledger.
pub const REQUEST_ID: &str = "lintel_request_id";

/// A parsed request of an authenticated caller for a configured model. `P` is [`Unplanned`] until the model's facts
/// are known; everything that costs money takes a call with a [`Plan`].
#[derive(Debug)]
pub struct Call<T, P = Plan> {
    /// The id that the client sees in `x-request-id`.
    pub request_id: Arc<str>,
    pub caller: Arc<Caller>,
    pub model: Arc<Model>,
    pub body: Arc<T>,
    pub plan: P,
    /// The account of the end user; empty if the key has no limits for end users.
    pub end_user: String,
    pub trace: Trace,
}

/// The state of a call before its model's facts are known.
#[derive(Clone, Copy, Debug)]
pub struct Unplanned;

impl<T, P> Call<T, P> {
    /// The same call with another plan.
    pub fn with_plan<Q>(self, plan: Q) -> Call<T, Q> {
        let Self {
            request_id,
            caller,
            model,
            body,
            plan: _,
            end_user,
            trace,
        } = self;
        Call {
            request_id,
            caller,
            model,
            body,
            plan,
            end_user,
            trace,
        }
    }

    /// Returns the scopes of the call, also those without limits, in the order in which they are checked.
    pub fn scopes(&self) -> Vec<Scope> {
        let key = format!("key:{}", self.caller.key_id);
        let mut scopes = vec![Scope {
            id: key.clone(),
            limits: self.caller.limits,
        }];
        let model_limits = self.caller.model_limits.iter();
        let mut on_model = model_limits.filter(|(name, _)| *name == self.model.name);
        scopes.push(Scope {
            id: format!("{key}/model:{}", self.model.label()),
            limits: on_model
                .next()
                .map(|(_, limits)| *limits)
                .unwrap_or_default(),
        });
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
        let model = format!("model:{}", self.model.label());
        scopes.push(Scope {
            id: model,
            limits: self.model.limits,
        });
        scopes
    }
}

/// Limits that apply to a call, and the counters that they use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `key:ID`, `key:ID/model:NAME`, `key:ID/user:HASH`, `team:NAME` or `model:NAME`.
    pub id: String,
    pub limits: Limits,
}
