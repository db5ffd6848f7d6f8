//! How much larger schemas can become when they are adapted to a model.

use serde_json::value::RawValue;

use super::Chat;
use crate::{
    model::{Facts, SchemaRoot},
    openai::{
        chat::Function,
        json_text,
        schema_root::{RootMembers, UNIONS},
    },
};

/// A rewritten schema, with the text that describes what it lost, is at most this many times longer.
const FACTOR: u64 = 3;

/// The most bytes that rewriting adds to a short schema.
const REWRITTEN: u64 = 1024;

/// The most bytes that are added where keywords of the root are moved to the description.
const MOVED: u64 = 64;

/// The most bytes that adapting the schemas adds to the text.
pub fn added(chat: &Chat, facts: &Facts) -> u64 {
    let rewritten = |schema: &RawValue| FACTOR * schema.get().len() as u64 + REWRITTEN;
    let tools: u64 = functions(chat)
        .filter_map(|function| {
            let schema = function.parameters.as_deref()?;
            let strict = function.strict == Some(true);
            Some(match strict || rewrites(schema, facts) {
                true => rewritten(schema),
                false => MOVED,
            })
        })
        .sum();
    tools + answer(chat).map_or(0, rewritten)
}

/// Reports whether there is a schema whose references the gateway must resolve.
pub fn resolves_references(chat: &Chat, facts: &Facts) -> bool {
    let refers = |schema: &RawValue| json_text::contains(schema.get(), "$ref");
    let in_tools = functions(chat).any(|function| {
        function
            .parameters
            .as_deref()
            .is_some_and(|schema| refers(schema) && (!facts.schema_refs || rewrites(schema, facts)))
    });
    in_tools || answer(chat).is_some_and(refers)
}

/// Reports whether the root of a tool's schema is rewritten for the model.
fn rewrites(schema: &RawValue, facts: &Facts) -> bool {
    let root = RootMembers::of(schema);
    root.has(&["$ref"])
        || match facts.schema_root {
            SchemaRoot::Any => false,
            SchemaRoot::NoUnions | SchemaRoot::Plain => root.has(&UNIONS),
        }
}

/// The functions that the client declares.
fn functions(chat: &Chat) -> impl Iterator<Item = &Function> {
    let tools = chat.tools.iter().flatten();
    tools
        .filter_map(|tool| tool.function.as_ref())
        .chain(chat.functions.iter().flatten())
}

/// The schema of the structured answer.
fn answer(chat: &Chat) -> Option<&RawValue> {
    let format = chat.response_format.as_ref()?;
    format.json_schema.as_ref()?.schema.as_deref()
}
