//! Values that fit a JSON schema.

use serde_json::{Map, Value};

/// A minimal value that is valid for `schema`: it has every property, and each string is the name of its property.
pub fn example(schema: &Value, name: &str) -> Value {
    within(schema, schema, name, 0)
}

fn within(root: &Value, schema: &Value, name: &str, depth: usize) -> Value {
    if depth > 8 {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
            .unwrap_or(&Value::Null);
        return within(root, target, name, depth + 1);
    }
    for fixed in ["const", "default"] {
        if !schema[fixed].is_null() {
            return schema[fixed].clone();
        }
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    for union in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[union].as_array().and_then(|schemas| schemas.first()) {
            return within(root, first, name, depth + 1);
        }
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => Value::from(name),
        Some("integer" | "number") => schema
            .get("minimum")
            .cloned()
            .unwrap_or_else(|| Value::from(1)),
        Some("boolean") => Value::Bool(true),
        Some("null") => Value::Null,
        Some("array") => Value::Array(vec![within(root, &schema["items"], name, depth + 1)]),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let members = properties
                .map(|(name, schema)| (name.clone(), within(root, schema, name, depth + 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}
