//! Checks a request body against a JSON schema, in the words of the service.
//!
//! The service reports violations as the everit validator does, one after another without a separator:
//! `#: required key [texts] not found#: extraneous key [inputText] is not permitted`.

use base64::{Engine, engine::general_purpose::STANDARD};
use regex_lite::Regex;
use serde_json::Value;

/// Returns every violation of `schema` by `body`, each with the path of the value.
pub fn violations(schema: &Value, body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, body, "#", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(expected) = schema["type"].as_str()
        && !has_type(expected, value)
    {
        found.push(format!(
            "{path}: expected type: {}, found: {}",
            expected_name(expected),
            found_name(value)
        ));
        return;
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|values| !values.contains(value))
    {
        let shown = value.as_str().map_or(value.to_string(), str::to_owned);
        found.push(format!("{path}: {shown} is not a valid enum value"));
    }
    match value {
        Value::Object(_) => object(schema, value, path, found),
        Value::Array(items) => array(schema, items, path, found),
        Value::String(text) => string(schema, text, path, found),
        Value::Number(number) => {
            if let (Some(most), Some(number)) = (schema["maximum"].as_i64(), number.as_i64())
                && number > most
            {
                found.push(format!("{path}: {number} is not less or equal to {most}"));
            }
            if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), number.as_i64())
                && number < least
            {
                found.push(format!(
                    "{path}: {number} is not greater or equal to {least}"
                ));
            }
        }
        _ => {}
    }
}

fn object(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let strings = |list: &'static str| {
        schema[list]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    };
    for key in strings("required").filter(|key| value.get(key).is_none()) {
        found.push(format!("{path}: required key [{key}] not found"));
    }
    alternatives(schema, value, path, found);
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for (key, member) in value.as_object().into_iter().flatten() {
        match properties.get(key) {
            Some(property) => check(property, member, &format!("{path}/{key}"), found),
            None => found.push(format!("{path}: extraneous key [{key}] is not permitted")),
        }
    }
}

/// `oneOf` and `anyOf`.
fn alternatives(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for keyword in ["oneOf", "anyOf"] {
        let Some(schemas) = schema[keyword].as_array() else {
            continue;
        };
        let mut matches = 0;
        let mut causes = Vec::new();
        for schema in schemas {
            let before = causes.len();
            check(schema, value, path, &mut causes);
            matches += usize::from(causes.len() == before);
        }
        if matches == 0 {
            found.extend(causes);
        } else if matches > 1 && keyword == "oneOf" {
            found.push(format!(
                "{path}: {matches} subschemas matched instead of one"
            ));
        }
    }
}

fn array(schema: &Value, items: &[Value], path: &str, found: &mut Vec<String>) {
    let count = items.len();
    if let Some(least) = limit(schema, "minItems").filter(|least| count < *least) {
        found.push(format!(
            "{path}: expected minimum item count: {least}, found: {count}"
        ));
    }
    if let Some(most) = limit(schema, "maxItems").filter(|most| count > *most) {
        found.push(format!(
            "{path}: expected maximum item count: {most}, found: {count}"
        ));
    }
    for (index, item) in items.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}/{index}"), found);
    }
}

fn string(schema: &Value, text: &str, path: &str, found: &mut Vec<String>) {
    let length = text.chars().count();
    if let Some(least) = limit(schema, "minLength").filter(|least| length < *least) {
        found.push(format!(
            "{path}: expected minLength: {least}, actual: {length}"
        ));
    }
    if let Some(most) = limit(schema, "maxLength").filter(|most| length > *most) {
        found.push(format!(
            "{path}: expected maxLength: {most}, actual: {length}"
        ));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
    {
        let start: String = text.chars().take(40).collect();
        found.push(format!(
            "{path}: string [{start}] does not match pattern {pattern}"
        ));
    }
    if schema["contentEncoding"] == "base64" && STANDARD.decode(text).is_err() {
        found.push(format!("{path}: the string is not valid base64"));
    }
}

fn limit(schema: &Value, keyword: &str) -> Option<usize> {
    schema[keyword]
        .as_u64()
        .and_then(|limit| usize::try_from(limit).ok())
}

fn has_type(expected: &str, value: &Value) -> bool {
    match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}

fn expected_name(expected: &str) -> &str {
    match expected {
        "object" => "JSONObject",
        "array" => "JSONArray",
        "string" => "String",
        "boolean" => "Boolean",
        "number" => "Number",
        _ => "Integer",
    }
}

fn found_name(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "JSONObject",
        Value::Array(_) => "JSONArray",
        Value::String(_) => "String",
        Value::Bool(_) => "Boolean",
        Value::Null => "Null",
        Value::Number(number) if number.is_f64() => "BigDecimal",
        Value::Number(_) => "Integer",
    }
}
