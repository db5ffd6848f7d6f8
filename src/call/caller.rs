use std::sync::Arc;

use serde_json::Value;
use wildmatch::WildMatch;

use super::EndUsers;
use crate::{
    model::{Apply, CachePolicy, Guardrail, Limits, Model},
    money::Budget,
};

/// An authenticated client: the configuration of its key.
#[derive(Debug, Default)]
pub struct Caller {
    /// The configured name of the key, or the public id of a virtual one. Never any text of the secret.
    pub key_id: String,
    pub team: Option<Arc<Team>>,
    /// Globs over configured model names and raw ids. If `None`, every configured name is allowed.
    pub models: Option<Vec<WildMatch>>,
    /// A glob that matches everything, or no globs, includes raw ids.
    pub raw: bool,
    /// Globs over configured names of Knowledge Bases. If empty, no Knowledge Base is allowed.
    pub knowledge_bases: Vec<WildMatch>,
    /// A `RetrievalFilter` that is AND-ed with every other filter.
    pub knowledge_base_filter: Option<Value>,
    /// The `userContext.userId` of retrievals. If `None`, the id of the key is sent.
    pub knowledge_base_user: Option<String>,
    /// Takes precedence over the model's guardrail, for the sides that it covers.
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

/// The guardrails of an operator for the calls of one key to one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guardrails<'a> {
    /// The one that the call to the model carries.
    pub in_call: Option<&'a Guardrail>,
    /// The one that the gateway applies to inputs.
    pub input: Option<&'a Guardrail>,
    /// The one that the gateway applies to answers.
    pub output: Option<&'a Guardrail>,
}

impl Guardrails<'_> {
    /// Reports whether there is none.
    pub fn is_empty(&self) -> bool {
        self.in_call.or(self.input).or(self.output).is_none()
    }
}

impl Caller {
    /// Reports whether the caller may use the model called `name`. `raw` is set for a Bedrock id or ARN, as opposed
    /// to a configured name.
    pub fn may_use(&self, name: &str, raw: bool) -> bool {
        match &self.models {
            Some(globs) => globs
                .iter()
                .any(|glob| glob.matches(name) && (!raw || self.raw || !is_catch_all(glob))),
            None => !raw || self.raw,
        }
    }

    /// Reports whether the caller may use any raw id, and not only configured names.
    pub fn may_use_raw_ids(&self) -> bool {
        let named = |globs: &Vec<WildMatch>| globs.iter().any(|glob| !is_catch_all(glob));
        self.raw || self.models.as_ref().is_some_and(named)
    }

    /// Reports whether the caller may search the Knowledge Base called `name`.
    pub fn may_search(&self, name: &str) -> bool {
        self.knowledge_bases.iter().any(|glob| glob.matches(name))
    }

    /// Returns the operator's guardrails for calls of `model`. The key's takes precedence over the model's only for what
    /// it covers: a key cannot weaken a model's guardrail.
    pub fn guardrails_for<'a>(&'a self, model: &'a Model) -> Guardrails<'a> {
        let both = [self.guardrail.as_ref(), model.options.guardrail.as_ref()];
        let applied = |covers: fn(Apply) -> bool| {
            let mut own = both.into_iter().flatten();
            own.find(|one| one.apply.is_some_and(covers))
        };
        // The call to the model evaluates both sides, so a key's guardrail replaces it only if it covers both.
        let replaced = self.guardrail.as_ref().and_then(|own| own.apply) == Some(Apply::Both);
        let mut own = both.into_iter().flatten();
        Guardrails {
            in_call: own.find(|one| one.apply.is_none()).filter(|_| !replaced),
            input: applied(Apply::covers_input),
            output: applied(Apply::covers_output),
        }
    }

    /// The name of the team, or an empty string if the key has none.
    pub fn team_name(&self) -> &str {
        self.team.as_deref().map_or("", |team| &team.name)
    }
}

/// Reports whether a glob consists of wildcards. Its author may not have thought of raw ids.
fn is_catch_all(glob: &WildMatch) -> bool {
    glob.pattern_chars().iter().all(|c| matches!(c, '*' | '?'))
}
