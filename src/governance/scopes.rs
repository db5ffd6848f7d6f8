use std::sync::Arc;

use super::record::LedgerEntry;

/// The scope of budgets of the whole gateway.
pub const GATEWAY: &str = "gateway";

/// The scopes whose budgets a call counts towards: the gateway, its key, its end user, its team and its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    pub all: Vec<Arc<str>>,
    /// The key of the end user's scope, which is the last of `all`, if the call has an end user.
    pub user_of: Option<Arc<str>>,
}

impl Scopes {
    /// Returns the scopes of the call of `entry`.
    pub fn of(entry: &LedgerEntry) -> Self {
        let mut all: Vec<Arc<str>> = vec![GATEWAY.into(), key_scope(&entry.key_id)];
        if !entry.team.is_empty() {
            all.push(format!("team:{}", entry.team).into());
        }
        all.push(format!("model:{}", entry.model).into());
        let user_of = (!entry.end_user.is_empty()).then(|| entry.key_id.as_str().into());
        if user_of.is_some() {
            all.push(user_scope(&entry.key_id, &entry.end_user));
        }
        Self { all, user_of }
    }

    /// Reports whether the call counts towards budgets of `scope`.
    pub fn contains(&self, scope: &str) -> bool {
        self.all.iter().any(|own| **own == *scope)
    }
}

/// Returns the scope of a key.
pub fn key_scope(key_id: &str) -> Arc<str> {
    format!("key:{key_id}").into()
}

/// Returns the scope of an end user of a key.
pub fn user_scope(key_id: &str, end_user: &str) -> Arc<str> {
    format!("key:{key_id}/user:{end_user}").into()
}
