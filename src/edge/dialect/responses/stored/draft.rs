//! A response that will be stored when it has ended.

use serde_json::value::{RawValue, to_raw_value};

use super::{Identity, Outcome, StoredContent};
use crate::{
    edge::dialect::{Incoming, Parent},
    governance::{AloneContent, NewResponse, Responses},
    openai::responses::served::{Input, Request},
};

/// The ends of responses that are stored. A failed one continues nothing.
const STORED: [&str; 2] = ["completed", "incomplete"];

/// Items that say something about one request only.
const TRANSIENT: [&str; 2] = ["item_reference", "compaction_trigger"];

/// What is stored of a response beside the reply. Dropped without an end, nothing is stored.
pub struct Draft {
    responses: Responses,
    key_id: String,
    parent: Option<Parent>,
    /// The conversation before the input, as it was stored.
    before: Vec<Box<RawValue>>,
    input: Vec<Box<RawValue>>,
}

impl Draft {
    /// Creates the draft of the response to `request`, whose input is `input`. Returns `None` if nothing will be stored.
    pub fn new(incoming: &Incoming<'_>, request: &Request, input: Option<Input>) -> Option<Self> {
        if request.store == Some(false) {
            return None;
        }
        let responses = incoming
            .responses
            .filter(|responses| responses.settings().is_on);
        let Some(responses) = responses else {
            if request.store == Some(true) {
                let text = "store: ignored (this gateway stores no responses)";
                incoming.warnings.add(text);
            }
            return None;
        };
        let (before, mut items) = match input? {
            Input::Text(text) => (Vec::new(), vec![message(&text)?]),
            Input::Items(mut items) => {
                let own = items.split_off(incoming.recalled.items.min(items.len()));
                (items, own)
            }
        };
        items.retain(|item| {
            Identity::of(item).is_none_or(|item| !TRANSIENT.contains(&item.kind.as_ref()))
        });
        Some(Self {
            responses: responses.clone(),
            key_id: incoming.caller.key_id.clone(),
            parent: incoming.recalled.parent.clone(),
            before,
            input: items,
        })
    }

    /// Stores the response `id`, if it did not fail. Call it before the client can know that the response has ended.
    /// `response` is the response object.
    pub fn save(self, id: &str, response: &[u8]) {
        let Ok(object) = serde_json::from_slice::<&RawValue>(response) else {
            return;
        };
        let Ok(outcome) = serde_json::from_str::<Outcome<'_>>(object.get()) else {
            return;
        };
        if !STORED.contains(&outcome.status.as_ref()) {
            return;
        }
        let ids = outcome.output.iter().filter_map(|item| Identity::of(item));
        let items = ids.filter_map(|item| item.id.map(|id| id.into_owned()));
        let items = items.collect();
        let Some(content) = content(&self.input, object) else {
            return;
        };
        let (mut conversation, input) = (self.before, self.input);
        let object = object.to_owned();
        let alone = self.parent.is_some().then(|| -> AloneContent {
            conversation.extend(input);
            Box::new(move || self::content(&conversation, &object))
        });
        let depth = self.parent.as_ref().map_or(0, |parent| parent.depth);
        self.responses.put(NewResponse {
            id: id.to_owned(),
            key_id: self.key_id,
            parent: self.parent.map(|parent| parent.id),
            depth: depth.saturating_add(1),
            items,
            content,
            alone,
        });
    }
}

/// Returns what is stored of a response, with these items as the input.
fn content(input: &[Box<RawValue>], response: &RawValue) -> Option<Vec<u8>> {
    let content = StoredContent {
        input: input.iter().map(|item| &**item).collect(),
        response,
    };
    serde_json::to_vec(&content).ok()
}

/// Returns a text of the user as an item.
fn message(text: &str) -> Option<Box<RawValue>> {
    let item = serde_json::json!({
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    });
    to_raw_value(&item).ok()
}
