//! Adapts the client's JSON schemas to what models on Bedrock accept. Keeps the order of keys, because models and prompt
//! caches depend on it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

mod references;

use references::resolve_references;

use super::messages::raw_json;
use crate::{call::Warnings, error::Error, model::Facts};

/// Keywords that structured output does not support. They are moved into the description, where the model reads them.
const UNSUPPORTED: [&str; 13] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// Values of `format` that structured output supports.
const FORMATS: [&str; 9] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
];

/// Returns the input schema of a tool. `strict` forbids additional properties on all objects, as strict tools require.
///
/// # Errors
/// 400 with the path `at` if the schema cannot be parsed or its references cannot be resolved.
pub fn for_tool<'a>(
    schema: Option<&'a RawValue>,
    strict: bool,
    facts: &Facts,
    at: &str,
    warnings: &Warnings,
) -> Result<Cow<'a, RawValue>, Error> {
    let Some(raw) = schema else {
        return Ok(raw_json(r#"{"type":"object","properties":{}}"#.to_owned()));
    };
    let text = raw.get();
    let refs = !facts.schema_refs && text.contains("\"$ref\"");
    let lookaround = !facts.schema_lookaround && text.contains("(?");
    if !refs && !lookaround && !strict {
        match root_type(raw) {
            Root::Object => return Ok(Cow::Borrowed(raw)),
            Root::Missing => {
                let members = text.trim_start_matches('{').trim_start();
                let comma = if members.starts_with('}') { "" } else { "," };
                return Ok(raw_json(format!("{{\"type\":\"object\"{comma}{members}")));
            }
            Root::Other => {}
        }
    }
    let mut value: Value = serde_json::from_str(text)
        .map_err(|_| Error::invalid(at, "'parameters' must be a JSON schema."))?;
    if refs {
        value = resolve_references(&value, true, at)?;
    }
    if lookaround && drop_lookaround(&mut value) {
        warnings.add(format!(
            "{at}: a pattern with look-around was left out (the model does not support it)"
        ));
    }
    if strict {
        forbid_additional_properties(&mut value);
        remove_null_unions(&mut value, at, warnings);
    }
    match value.get("type").and_then(Value::as_str) {
        Some("object") => {}
        None => {
            let mut rooted = Map::new();
            rooted.insert("type".to_owned(), "object".into());
            rooted.extend(value.as_object().cloned().unwrap_or_default());
            value = Value::Object(rooted);
        }
        Some(_) => {
            warnings.add(format!(
                "{at}: sent as the member 'value' of an object (the schema must be an object)"
            ));
            value = serde_json::json!({"type": "object", "properties": {"value": value}, "required": ["value"]});
        }
    }
    Ok(raw_json(value.to_string()))
}

/// Returns the serialized schema of a structured answer for `outputConfig`. `strict` makes every property required.
///
/// # Errors
/// 400 with the path `at` if the schema is recursive, or its references cannot be resolved.
pub fn for_text_format(
    schema: Option<&RawValue>,
    strict: bool,
    at: &str,
    warnings: &Warnings,
) -> Result<String, Error> {
    let Some(raw) = schema else {
        return Ok(r#"{"type":"object","additionalProperties":false}"#.to_owned());
    };
    let value: Value = serde_json::from_str(raw.get())
        .map_err(|_| Error::invalid(at, "'schema' must be a JSON schema."))?;
    let mut value = resolve_references(&value, false, at)?;
    forbid_additional_properties(&mut value);
    if strict {
        require_all(&mut value);
    }
    remove_null_unions(&mut value, at, warnings);
    describe_unsupported(&mut value);
    Ok(value.to_string())
}

/// Returns the schema with all references resolved, so that checking an answer takes time bounded by its size. Returns
/// `None` if the references cannot be resolved.
pub fn without_references(schema: &RawValue) -> Option<Value> {
    const DYNAMIC: [&str; 4] = [
        "\"$dynamicRef\"",
        "\"$recursiveRef\"",
        "\"$id\"",
        "\"$anchor\"",
    ];
    if DYNAMIC.iter().any(|keyword| schema.get().contains(keyword)) {
        return None;
    }
    let value: Value = serde_json::from_str(schema.get()).ok()?;
    resolve_references(&value, true, "").ok()
}

/// The `type` of a schema's root.
enum Root {
    Object,
    Missing,
    Other,
}

fn root_type(schema: &RawValue) -> Root {
    #[derive(Deserialize)]
    struct Members<'a> {
        #[serde(borrow, default)]
        r#type: Option<&'a RawValue>,
    }
    match serde_json::from_str::<Members<'_>>(schema.get()) {
        Ok(Members { r#type: Some(root) }) if root.get() == "\"object\"" => Root::Object,
        Ok(Members { r#type: None }) => Root::Missing,
        _ => Root::Other,
    }
}

/// Removes every `pattern` with look-around. Returns whether there was one.
fn drop_lookaround(value: &mut Value) -> bool {
    let mut dropped = false;
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| dropped |= drop_lookaround(item)),
        Value::Object(members) => {
            let around = ["(?=", "(?!", "(?<=", "(?<!"];
            let pattern = members.get("pattern").and_then(Value::as_str);
            if pattern.is_some_and(|pattern| around.iter().any(|look| pattern.contains(look))) {
                members.shift_remove("pattern");
                dropped = true;
            }
            members
                .values_mut()
                .for_each(|member| dropped |= drop_lookaround(member));
        }
        _ => {}
    }
    dropped
}

/// Sets `additionalProperties: false` on every object.
fn forbid_additional_properties(value: &mut Value) {
    each_schema(value, &mut |members| {
        let object = members.get("type").is_some_and(|kind| kind == "object")
            || members.contains_key("properties");
        if object {
            members.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    });
}

/// Makes every property required. OpenAI's strict schemas have no optional properties.
fn require_all(value: &mut Value) {
    each_schema(value, &mut |members| {
        if let Some(properties) = members.get("properties").and_then(Value::as_object) {
            let all: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
            members.insert("required".to_owned(), all.into());
        }
    });
}

/// Maximum number of unions in a strict schema.
const MAX_UNIONS: usize = 16;

/// Removes `null` from unions if the schema has too many unions. Most unions with `null` express optional properties,
/// which the model may also omit.
fn remove_null_unions(value: &mut Value, at: &str, warnings: &Warnings) {
    let mut unions = 0;
    each_schema(value, &mut |members| {
        unions += usize::from(is_union(members))
    });
    if unions <= MAX_UNIONS {
        return;
    }
    warnings.add(format!(
        "{at}: 'null' was removed from unions (the schema has {unions} and the model accepts at most {MAX_UNIONS})"
    ));
    each_schema(value, &mut |members| {
        if let Some(Value::Array(types)) = members.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                members.insert("type".to_owned(), only);
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(Value::Array(branches)) = members.get_mut(keyword) else {
                continue;
            };
            branches.retain(|branch| branch["type"] != "null");
            if let [Value::Object(only)] = branches.as_slice() {
                let only = only.clone();
                members.shift_remove(keyword);
                for (name, member) in only {
                    members.entry(name).or_insert(member);
                }
            }
        }
    });
}

fn is_union(members: &Map<String, Value>) -> bool {
    members.get("type").is_some_and(Value::is_array)
        || ["anyOf", "oneOf"]
            .iter()
            .any(|of| members.contains_key(*of))
}

/// Moves unsupported keywords into the description.
fn describe_unsupported(value: &mut Value) {
    each_schema(value, &mut |members| {
        let unknown_format = members
            .get("format")
            .and_then(Value::as_str)
            .is_some_and(|format| !FORMATS.contains(&format));
        let mut moved = Vec::new();
        for keyword in UNSUPPORTED
            .iter()
            .chain(unknown_format.then_some(&"format"))
        {
            if let Some(value) = members.shift_remove(*keyword) {
                moved.push(format!("{keyword}: {value}"));
            }
        }
        if !moved.is_empty() {
            let own = members
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let space = if own.is_empty() { "" } else { " " };
            let text = format!("{own}{space}({})", moved.join(", "));
            members.insert("description".to_owned(), text.into());
        }
    });
}

/// Calls `change` for `value` and every subschema. Visits only keywords that hold schemas, because a property may be
/// named like a keyword, for example `pattern`.
fn each_schema(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(members) = value else {
        return;
    };
    change(members);
    for (name, member) in members.iter_mut() {
        match name.as_str() {
            "properties" | "$defs" | "definitions" | "patternProperties" => {
                member
                    .as_object_mut()
                    .into_iter()
                    .flatten()
                    .for_each(|(_, schema)| each_schema(schema, change));
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                member
                    .as_array_mut()
                    .into_iter()
                    .flatten()
                    .for_each(|schema| each_schema(schema, change));
            }
            "items" | "not" | "additionalProperties" | "contains" => each_schema(member, change),
            _ => {}
        }
    }
}
