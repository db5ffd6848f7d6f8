//! Chats over OpenAI's Responses. A conversation is a list of items in its order, and replies carry encrypted reasoning from
//! which a later request continues. The service stores nothing.

mod input;
mod namespaces;
mod request;
mod translator;

pub use translator::ItemTranslator;

use crate::{model::Model, upstream::converse::names::mark_of};

/// Returns the mark of reasoning items of `model`. It differs from that of Converse, whose encrypted reasoning has another
/// form.
fn mark(model: &Model) -> String {
    mark_of(&format!(
        "responses {}",
        model.base.as_deref().unwrap_or(&model.target().id)
    ))
}
