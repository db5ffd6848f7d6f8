//! The models that calls of another one fall back to.

/// The configured names of other models, in the order in which they are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallbacks {
    /// If all targets of the model fail.
    pub errors: Vec<String>,
    /// If the conversation is longer than the model's context.
    pub context_length: Vec<String>,
    /// If a filter of the model withholds a whole answer.
    pub content_filter: Vec<String>,
}

impl Fallbacks {
    /// Iterates over all names.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        let lists = [&self.errors, &self.context_length, &self.content_filter];
        lists.into_iter().flatten()
    }
}
