//! Which chats profit from being answered in one region: those that read the same cached prompt.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Chat, Part, Role, worst_case::marks_cache};
use crate::{call::Caller, model::Model};

impl Chat {
    /// Returns a hash of the key, the tools, the instructions and the first message of the user, which all turns of a
    /// conversation share. `None` if nothing is cached.
    pub(super) fn cache_affinity(&self, model: &Model, caller: &Caller) -> Option<u64> {
        model.facts.cache.as_ref()?;
        if !marks_cache(self) && !self.caches_automatically(model, caller) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        caller.key_id.hash(&mut hasher);
        for tool in self.tools.iter().flatten() {
            if let Some(function) = &tool.function {
                function.name.hash(&mut hasher);
            }
        }
        for message in &self.messages {
            let texts = message.parts.iter().filter_map(Part::as_text);
            texts.for_each(|text| text.hash(&mut hasher));
            if message.role == Role::User {
                break;
            }
        }
        Some(hasher.finish())
    }
}
