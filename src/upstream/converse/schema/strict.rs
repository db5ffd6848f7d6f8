//! Makes schemas strict, as structured output and strict tools require.

use serde_json::{Map, Value};

use super::{
    SchemaContext, StrictBudget,
    combine::{TOO_LONG, combine},
    references::resolve_references,
    visit::{any_schema, each_schema},
};

/// Why a schema with arbitrary members cannot be strict.
pub const OPEN: &str = "its schema has objects with arbitrary members";
pub const RECURSIVE: &str = "its schema is recursive, or its references cannot be resolved";
const ROOT_UNION: &str = "its root is a union";

/// The most bytes of a combined schema in place of one with `length` bytes. The worst case of a call allows more, because
/// the schema of an answer is escaped.
const fn longest(length: usize) -> usize {
    2 * length + 512
}

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

/// Returns the strict form of a tool's schema, and takes it from the budget. `fitted` is the schema with a root that the
/// model accepts.
///
/// # Errors
/// Why the tool cannot be strict.
pub fn strict_tool(
    schema: &Value,
    fitted: &Value,
    budget: &mut StrictBudget,
    cx: &SchemaContext<'_>,
) -> Result<Value, &'static str> {
    let resolved = resolve_references(schema, false, cx.at).map_err(|_| RECURSIVE)?;
    let length = schema.to_string().len();
    let mut strict = resolved.clone();
    combine(&mut strict, longest(length))?;
    if !takes_nothing(&strict) {
        check(&strict)?;
    }
    let combined = strict != resolved;
    close(&mut strict);
    describe_unsupported(&mut strict);
    let too_long = strict.to_string().len() > longest(length);
    if combined && too_long {
        return Err(TOO_LONG);
    }
    let removed_null = budget.take_tool(&mut strict, !too_long, cx)?;
    if combined || removed_null {
        return Ok(strict);
    }
    // References stay, because a schema may become much longer without them.
    let mut strict = fitted.clone();
    close(&mut strict);
    describe_unsupported(&mut strict);
    Ok(strict)
}

/// Makes the schema of a structured answer strict, and takes it from the budget. Its references must be resolved. `all`
/// makes every property required.
///
/// # Errors
/// Why the model cannot be held to the schema.
pub fn make_answer_strict(
    schema: &mut Value,
    all: bool,
    budget: &mut StrictBudget,
    cx: &SchemaContext<'_>,
) -> Result<(), &'static str> {
    let original = schema.clone();
    let length = original.to_string().len();
    combine(schema, longest(length))?;
    check(schema)?;
    let combined = *schema != original;
    close(schema);
    if all {
        require_all(schema);
    }
    describe_unsupported(schema);
    if combined && schema.to_string().len() > longest(length) {
        return Err(TOO_LONG);
    }
    budget.take_answer(schema, cx)
}

/// Reports whether a tool has no parameters. Unlike other objects without properties, its input can be closed.
fn takes_nothing(schema: &Value) -> bool {
    let none = schema["properties"].as_object().is_some_and(Map::is_empty);
    none && matches!(
        schema["additionalProperties"],
        Value::Null | Value::Bool(false)
    )
}

/// Checks that a combined schema can be enforced.
fn check(schema: &Value) -> Result<(), &'static str> {
    if is_open(schema) {
        return Err(OPEN);
    }
    // The root must have a type, and would be closed beside its union.
    let has = |keyword: &str| schema.get(keyword).is_some();
    match has("anyOf") || has("oneOf") {
        true => Err(ROOT_UNION),
        false => Ok(()),
    }
}

/// Reports whether any part of the combined schema allows arbitrary members or values. If all objects were closed, such
/// objects could only be empty.
fn is_open(schema: &Value) -> bool {
    any_schema(schema, &|members| {
        let properties = members.get("properties").and_then(Value::as_object);
        let known = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            properties.is_some_and(|properties| properties.contains_key(name))
        };
        match members.get("additionalProperties") {
            Some(Value::Object(_)) => true,
            Some(Value::Bool(false)) => false,
            _ if !SAYS_WHAT.iter().any(|name| members.contains_key(*name)) => true,
            _ => {
                let required = members.get("required").and_then(Value::as_array);
                allows_objects(members) && properties.is_none_or(Map::is_empty)
                    || !required.into_iter().flatten().all(known)
            }
        }
    })
}

/// A schema without any of these keywords allows every value.
const SAYS_WHAT: [&str; 8] = [
    "type",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "properties",
    "items",
    "$ref",
];

fn allows_objects(members: &Map<String, Value>) -> bool {
    match members.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(kind) => kind == "object",
        None => members.contains_key("properties"),
    }
}

/// Sets `additionalProperties: false` on every object, and replaces `oneOf`, which strict schemas lack.
pub fn close(schema: &mut Value) {
    each_schema(schema, &mut |members| {
        if let Some(Value::Array(kinds)) = members.get_mut("type")
            && let [only] = kinds.as_mut_slice()
        {
            let only = only.take();
            members.insert("type".to_owned(), only);
        }
        if allows_objects(members) || members.contains_key("properties") {
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
