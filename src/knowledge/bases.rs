use std::{collections::BTreeMap, sync::Arc};

use crate::{
    call::{Caller, KnowledgeBase},
    error::{Error, Kind},
};

/// Every configured Knowledge Base, by name.
#[derive(Clone, Debug, Default)]
pub struct KnowledgeBases(BTreeMap<Arc<str>, Arc<KnowledgeBase>>);

impl KnowledgeBases {
    /// Creates the collection. Of several with one name, the last is kept.
    pub fn new(bases: impl IntoIterator<Item = KnowledgeBase>) -> Self {
        Self(
            bases
                .into_iter()
                .map(|base| (base.name.clone(), Arc::new(base)))
                .collect(),
        )
    }

    /// Returns the Knowledge Base called `name`, if `caller` may use it.
    ///
    /// # Errors
    /// 404 if it does not exist, 403 if the caller may not use it.
    pub fn resolve_for(&self, name: &str, caller: &Caller) -> Result<Arc<KnowledgeBase>, Error> {
        let Some(base) = self.0.get(name) else {
            // Shortened, because the name is the client's text and can be long.
            let shown: String = name.chars().take(100).collect();
            let text = format!(
                "The knowledge base '{shown}' does not exist. GET /v1/knowledge_bases lists those that this key may use."
            );
            return Err(Error::new(Kind::NotFound, text)
                .with_code("knowledge_base_not_found")
                .with_param("kb"));
        };
        match caller.may_search(name) {
            true => Ok(base.clone()),
            false => Err(Error::new(
                Kind::PermissionDenied,
                "This key may not use this knowledge base. GET /v1/knowledge_bases lists those that it may use.",
            )
            .with_code("knowledge_base_not_allowed")
            .with_param("kb")),
        }
    }

    /// Iterates over all Knowledge Bases, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KnowledgeBase>> {
        self.0.values()
    }
}
