//! Makes schemas strict, as structured output and strict tools require.

use serde_json::{Map, Value};

use super::{
    SchemaContext, StrictBudget,
    references::resolve_references,
    visit::{any_schema, each_schema},
};

/// Why a schema with arbitrary members cannot be strict.
pub const OPEN: &str = "its schema has objects with arbitrary members";

/// Keywords that strict schemas do not support. They are moved into the description, where the model reads them.
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

/// Values of `format` that strict schemas support.
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

/// Returns the strict form of a tool's schema, and takes it from the budget.
///
/// # Errors
/// Why the tool cannot be strict.
pub fn strict_tool(
    schema: &Value,
    budget: &mut StrictBudget,
    cx: &SchemaContext<'_>,
) -> Result<Value, &'static str> {
    let resolved = resolve_references(schema, false, cx.at)
        .map_err(|_| "its schema is recursive, or its references cannot be resolved")?;
    if is_open(&resolved) {
        return Err(OPEN);
    }
    let removes_null = budget.take_tool(&resolved, cx)?;
    // References stay, because a schema may become much longer without them.
    let mut schema = schema.clone();
    close(&mut schema);
    describe_unsupported(&mut schema);
    if removes_null {
        remove_null_unions(&mut schema);
    }
    Ok(schema)
}

/// Reports whether objects with arbitrary members are the purpose of any part of the schema. If all objects were closed,
/// such objects could only be empty.
pub fn is_open(schema: &Value) -> bool {
    any_schema(
        schema,
        &|members| match members.get("additionalProperties") {
            Some(Value::Object(schema)) if !schema.is_empty() => true,
            Some(Value::Object(_) | Value::Bool(true)) => !members.contains_key("properties"),
            _ => false,
        },
    )
}

/// Sets `additionalProperties: false` on every object, and replaces `oneOf`, which strict schemas lack.
pub fn close(schema: &mut Value) {
    each_schema(schema, &mut |members| {
        let object = members.get("type").is_some_and(|kind| kind == "object")
            || members.contains_key("properties");
        if object {
            members.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        if !members.contains_key("anyOf")
            && let Some(branches) = members.shift_remove("oneOf")
        {
            members.insert("anyOf".to_owned(), branches);
        }
    });
}

/// Makes every property required. OpenAI's strict schemas have no optional properties.
pub fn require_all(schema: &mut Value) {
    each_schema(schema, &mut |members| {
        if let Some(properties) = members.get("properties").and_then(Value::as_object) {
            let all: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
            members.insert("required".to_owned(), all.into());
        }
    });
}

/// Removes `null` from unions. Most of them express optional properties, which the model may also omit.
pub fn remove_null_unions(schema: &mut Value) {
    each_schema(schema, &mut |members| {
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

/// Moves unsupported keywords into the description.
pub fn describe_unsupported(schema: &mut Value) {
    each_schema(schema, &mut |members| {
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
            describe(members, &format!("({})", moved.join(", ")));
        }
    });
}

/// Appends `text` to the description of a schema.
fn describe(members: &mut Map<String, Value>, text: &str) {
    let own = members
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let space = if own.is_empty() { "" } else { " " };
    let text = format!("{own}{space}{text}");
    members.insert("description".to_owned(), text.into());
}

/// Removes every `pattern` with look-around. Returns whether there was one.
pub fn drop_lookaround(value: &mut Value) -> bool {
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
