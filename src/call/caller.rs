use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use crate::{
    model::{CachePolicy, Guardrail, Limits},
    money::Budget,
};

/// Whoever holds a key: what is known of it after authentication.
#[derive(Debug, Default)]
pub struct Caller {
    /// The configured name of the key, or the public id of a virtual one. Never any text of the secret.
    pub key_id: String,
    pub team: Option<Arc<Team>>,
    /// Globs over configured model names and raw ids; none: every configured name, no raw id.
    pub models: Option<Vec<WildMatch>>,
    /// Globs over configured names of Knowledge Bases; empty: none.
    pub knowledge_bases: Vec<WildMatch>,
    /// AND-ed with every other filter, in Bedrock's form.
    pub knowledge_base_filter: Option<Value>,
    /// Who the service is told that asks; none: the id of the key.
    pub knowledge_base_user: Option<String>,
    /// Goes before the model's.
    pub guardrail: Option<Guardrail>,
    pub cache: CachePolicy,
    pub limits: Limits,
    /// Limits of this key on single models, by configured name.
    pub model_limits: Vec<(String, Limits)>,
    pub budgets: Vec<Arc<Budget>>,
    /// What each end user of the key (`user` of a request) may do.
    pub end_users: Option<EndUsers>,
}

/// Several keys with limits and budgets in common.
#[derive(Debug, Default)]
pub struct Team {
    pub name: String,
    pub limits: Limits,
    pub budgets: Vec<Arc<Budget>>,
}

/// Limits and budgets of every single end user of a key.
#[derive(Debug, Default)]
pub struct EndUsers {
    pub limits: Limits,
    /// Their scope is the key's; each user gets one of its own.
    pub budgets: Vec<Arc<Budget>>,
    /// Users that are told apart; all others share one account.
    pub max: usize,
    /// Those that were seen, by the hash of their name.
    pub known: Mutex<HashSet<String>>,
}

impl EndUsers {
    /// The account of the user with this name: its hash, or `other` where there are too many.
    pub fn account(&self, name: &str) -> String {
        let hash = hex::encode(&Sha256::digest(name.as_bytes())[..8]);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&hash) || (known.len() < self.max && known.insert(hash.clone())) {
            return hash;
        }
        "other".to_owned()
    }
}

impl Caller {
    /// May this caller use the model called `name` (`raw`: a Bedrock id or ARN, not a configured name)?
    pub fn may_use(&self, name: &str, raw: bool) -> bool {
        match &self.models {
            Some(globs) => globs.iter().any(|glob| glob.matches(name)),
            None => !raw,
        }
    }

    /// May this caller search the Knowledge Base called `name`?
    pub fn may_search(&self, name: &str) -> bool {
        self.knowledge_bases.iter().any(|glob| glob.matches(name))
    }

    /// The team's name, for the ledger and for metrics.
    pub fn team_name(&self) -> &str {
        self.team.as_deref().map_or("", |team| &team.name)
    }
}
