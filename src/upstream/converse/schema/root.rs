//! Fits the root of a schema to a model. The input of a tool is always an object, and some models accept few keywords at
//! the root of its schema.

use serde_json::{Map, Value, json};

use super::{
    SchemaContext,
    references::{inline_root, resolve_references},
    unions::{is_of_objects, merge_unions},
};
use crate::{error::Error, model::SchemaRoot, openai::schema_root::UNIONS};

/// The keywords that every model accepts at the root.
pub const PLAIN: [&str; 3] = ["type", "properties", "required"];

/// Keywords that do not constrain the input.
pub const ANNOTATIONS: [&str; 12] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// Makes `schema` one of objects, without a reference at the root.
///
/// # Errors
/// 400 with the path of the schema if a reference at the root has no target.
pub fn of_objects(schema: Value, cx: &SchemaContext<'_>) -> Result<Map<String, Value>, Error> {
    Ok(object_root(inline_root(schema, cx.at)?, cx))
}

/// Returns a schema whose root the model accepts, with a text for the description that says what was lost.
///
/// # Errors
/// 400 with the path of the schema if a reference has no target.
pub fn fit(
    mut root: Map<String, Value>,
    cx: &SchemaContext<'_>,
) -> Result<(Value, Option<String>), Error> {
    let accepted = cx.facts.schema_root;
    let mut notes = Vec::new();
    let unions: Vec<&str> = UNIONS
        .into_iter()
        .filter(|keyword| root.contains_key(*keyword))
        .collect();
    if accepted != SchemaRoot::Any && !unions.is_empty() {
        root = match resolve_references(&Value::Object(root), true, cx.at)? {
            Value::Object(root) => root,
            _ => Map::new(),
        };
        notes.extend(merge_unions(&mut root));
        cx.warnings.add(format!(
            "{}: {} at the root became one object and a sentence in the description (the model accepts no unions there)",
            cx.at,
            unions.join(", ")
        ));
    }
    if accepted == SchemaRoot::Plain {
        let resolved = resolve_references(&Value::Object(root), true, cx.at)?;
        root = plain(resolved, &mut notes, cx);
    }
    let note = (!notes.is_empty()).then(|| notes.join("\n"));
    Ok((Value::Object(root), note))
}

/// Returns the members of a schema of objects. Other schemas become the member `value`.
fn object_root(schema: Value, cx: &SchemaContext<'_>) -> Map<String, Value> {
    if !is_of_objects(&schema) {
        cx.warnings.add(format!(
            "{}: sent as the member 'value' of an object (the schema must be an object)",
            cx.at
        ));
        return wrapped(schema);
    }
    let Value::Object(mut root) = schema else {
        return Map::from_iter([("type".to_owned(), "object".into())]);
    };
    let kinds = root.get("type").and_then(Value::as_array);
    if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind != "object")) {
        cx.warnings.add(format!(
            "{}: the type of the root was sent as 'object' (the schema must be an object)",
            cx.at
        ));
    }
    match root.get_mut("type") {
        Some(kind) => *kind = "object".into(),
        None => {
            root.shift_insert(0, "type".to_owned(), "object".into());
        }
    }
    root
}

/// Returns the root of a schema whose member `value` is `schema`. Definitions stay at the root, where references find them.
fn wrapped(mut schema: Value) -> Map<String, Value> {
    let definitions: Vec<(&str, Value)> = match &mut schema {
        Value::Object(members) => ["$defs", "definitions"]
            .into_iter()
            .filter_map(|name| Some((name, members.shift_remove(name)?)))
            .collect(),
        _ => Vec::new(),
    };
    let mut root = Map::new();
    root.insert("type".to_owned(), "object".into());
    root.insert("properties".to_owned(), json!({"value": schema}));
    root.insert("required".to_owned(), json!(["value"]));
    for (name, value) in definitions {
        root.insert(name.to_owned(), value);
    }
    root
}

/// Returns only what every model accepts at the root, and adds the rest to `notes`.
fn plain(schema: Value, notes: &mut Vec<String>, cx: &SchemaContext<'_>) -> Map<String, Value> {
    let Value::Object(members) = schema else {
        return Map::new();
    };
    let mut root = Map::new();
    let mut constraints = Map::new();
    let mut moved: Vec<String> = Vec::new();
    for (name, value) in members {
        if PLAIN.contains(&name.as_str()) {
            root.insert(name, value);
            continue;
        }
        match (name.as_str(), value) {
            ("description", Value::String(text)) => notes.insert(0, text),
            ("additionalProperties", Value::Bool(_)) => {}
            (annotation, _) if ANNOTATIONS.contains(&annotation) => {}
            (_, value) => {
                constraints.insert(name.clone(), value);
            }
        }
        moved.push(name);
    }
    if !constraints.is_empty() {
        notes.push(format!(
            "The input must also fit this JSON schema: {}",
            Value::Object(constraints)
        ));
    }
    if !moved.is_empty() {
        cx.warnings.add(format!(
            "{}: {} moved to the description or left out (the model accepts only type, properties and required at the root)",
            cx.at,
            moved.join(", ")
        ));
    }
    root
}
