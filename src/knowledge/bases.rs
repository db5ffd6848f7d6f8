use std::{collections::BTreeMap, sync::Arc};

use crate::{
    call::{Caller, KnowledgeBase},
    error::{Error, Kind},
};

/// Every configured Knowledge Base, by name.
#[derive(Clone, Debug, Default)]
pub struct KnowledgeBases(BTreeMap<Arc<str>, Arc<KnowledgeBase>>);

impl KnowledgeBases {
    pub fn new(bases: impl IntoIterator<Item = KnowledgeBase>) -> Self {
        Self(
            bases
                .into_iter()
                .map(|base| (base.name.clone(), Arc::new(base)))
                .collect(),
        )
    }

    /// The Knowledge Base called `name`, if `caller` may use it.
    ///
    /// # Errors
    /// 404, or 403 for one that there is.
    pub fn resolve_for(&self, name: &str, caller: &Caller) -> Result<Arc<KnowledgeBase>, Error> {
        let Some(base) = self.0.get(name) else {
            // The name is the client's own text: shortened, so that a reply cannot be made huge.
            let shown: String = name.chars().take(100).collect();
            let text = format!(
                "There is no knowledge base '{shown}'. GET /v1/knowledge_bases lists what there is."
            );
            return Err(Error::new(Kind::NotFound, text)
                .with_code("knowledge_base_not_found")
                .with_param("kb"));
        };
        match caller.may_search(name) {
            true => Ok(base.clone()),
            false => Err(Error::new(
                Kind::PermissionDenied,
                "This key may not use this knowledge base. GET /v1/knowledge_bases lists what it may.",
            )
            .with_code("knowledge_base_not_allowed")
            .with_param("kb")),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<KnowledgeBase>> {
        self.0.values()
    }
}
