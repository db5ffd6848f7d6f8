use std::sync::Arc;

use serde_json::Value;
use wildmatch::WildMatch;

use super::EndUsers;
use crate::{
    model::{CachePolicy, Guardrail, Limits, Model},
    money::Budget,
};

/// An authenticated client: the configuration of its key.
#[derive(Debug, Default)]
pub struct Caller {
    /// The configured name of the key, or the public id of a virtual one. Never any text of the secret.
    pub key_id: String,
    pub team: Option<Arc<Team>>,
    /// Globs over configured model names and raw ids. If `None`, every configured name is allowed and no raw id.
    pub models: Option<Vec<WildMatch>>,
    /// Globs over configured names of Knowledge Bases. If empty, no Knowledge Base is allowed.
    pub knowledge_bases: Vec<WildMatch>,
    /// A `RetrievalFilter` that is AND-ed with every other filter.
    pub knowledge_base_filter: Option<Value>,
    /// The `userContext.userId` of retrievals. If `None`, the id of the key is sent.
    pub knowledge_base_user: Option<String>,
    /// Takes precedence over the model's guardrail.
    pub guardrail: Option<Guardrail>,
    pub cache: CachePolicy,
    /// Globs over members of `bedrock.additional_model_request_fields` that the key may use under a budget although they may
    /// change what a call costs.
    pub raw_fields: Vec<WildMatch>,
    pub limits: Limits,
    /// Limits of this key for individual models, by configured name.
    pub model_limits: Vec<(String, Limits)>,
    pub budgets: Vec<Arc<Budget>>,
    /// Limits for each end user of the key, as named by a request's `user`.
    pub end_users: Option<EndUsers>,
}

/// Keys that share limits and budgets.
#[derive(Debug, Default)]
pub struct Team {
    pub name: String,
    pub limits: Limits,
    pub budgets: Vec<Arc<Budget>>,
}

impl Caller {
    /// Reports whether the caller may use the model called `name`. `raw` is set for a Bedrock id or ARN, as opposed
    /// to a configured name.
    pub fn may_use(&self, name: &str, raw: bool) -> bool {
        match &self.models {
            Some(globs) => globs.iter().any(|glob| glob.matches(name)),
            None => !raw,
        }
    }

    /// Reports whether the caller may search the Knowledge Base called `name`.
    pub fn may_search(&self, name: &str) -> bool {
        self.knowledge_bases.iter().any(|glob| glob.matches(name))
    }

    /// Returns the operator's guardrail for chats with `model`: the key's, or else the model's.
    pub fn guardrail_for<'a>(&'a self, model: &'a Model) -> Option<&'a Guardrail> {
        self.guardrail.as_ref().or(model.options.guardrail.as_ref())
    }

    /// The name of the team, or an empty string if the key has none.
    pub fn team_name(&self) -> &str {
        self.team.as_deref().map_or("", |team| &team.name)
    }
}
