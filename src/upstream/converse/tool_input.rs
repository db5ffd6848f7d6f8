//! The arguments of tool calls in the history. They come from a model, and may be any text.

use std::borrow::Cow;

use serde_json::{Value, value::RawValue};

use super::{duplicates::unique, raw::raw_json};
use crate::call::Warnings;

/// Maximum number of objects to split arguments into.
const MAX_JOINED: usize = 16;

/// Splits arguments into their JSON objects, because some models join the arguments of several calls.
pub fn split_objects(arguments: &str) -> Vec<&str> {
    let mut objects: Vec<&str> = Vec::new();
    for value in serde_json::Deserializer::from_str(arguments).into_iter::<&RawValue>() {
        match value {
            Ok(object) if object.get().starts_with('{') && objects.len() < MAX_JOINED => {
                objects.push(object.get());
            }
            _ => return vec![arguments],
        }
    }
    if objects.len() > 1 {
        objects
    } else {
        vec![arguments]
    }
}

/// Where a name was repeated, for warnings.
const ARGUMENTS: &str = " in the arguments of a tool call";

/// Returns the arguments if they are JSON that every parser accepts. Half of a surrogate pair and numbers beyond the range of
/// floating point fit the grammar of JSON, but the service rejects the whole request for them.
fn parse(arguments: &str) -> Option<&RawValue> {
    let raw = serde_json::from_str::<&RawValue>(arguments).ok()?;
    serde_json::from_str::<Value>(arguments).ok()?;
    Some(raw)
}

/// Converts arguments to `toolUse.input`, which must be an object. Arguments come from a model and may be any text.
pub fn tool_input<'a>(arguments: &'a str, warnings: &Warnings) -> Cow<'a, RawValue> {
    if arguments.trim().is_empty() {
        return raw_json("{}".to_owned());
    }
    match parse(arguments) {
        Some(object) if object.get().starts_with('{') => {
            unique(Cow::Borrowed(object), "messages", ARGUMENTS, warnings)
        }
        Some(other) => {
            let other = unique(Cow::Borrowed(other), "messages", ARGUMENTS, warnings);
            raw_json(format!("{{\"value\":{}}}", other.get()))
        }
        None => {
            warnings.add(
                "messages: the arguments of a tool call were sent as text under '_raw' (they are not JSON that Bedrock accepts)",
            );
            raw_json(format!("{{\"_raw\":{}}}", Value::from(arguments)))
        }
    }
}
