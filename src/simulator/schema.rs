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
    let mut value = own(root, schema, name, depth);
    let mut branches: Vec<&Value> = Vec::new();
    for union in ["anyOf", "oneOf", "allOf"] {
        let of = schema[union].as_array().into_iter().flatten();
        branches.extend(of.take(if union == "allOf" { usize::MAX } else { 1 }));
    }
    for branch in &branches {
        match (&mut value, within(root, branch, name, depth + 1)) {
            (Value::Object(members), Value::Object(more)) => members.extend(more),
            (value, other) => *value = other,
        }
    }
    // A closed object rejects the members that only another schema beside it names.
    for closed in branches.into_iter().chain([schema]) {
        if let Value::Object(members) = &mut value
            && closed["additionalProperties"] == false
        {
            let known = closed["properties"].as_object();
            members.retain(|name, _| known.is_some_and(|known| known.contains_key(name)));
        }
    }
    value
}

/// The value without what unions and `allOf` add.
fn own(root: &Value, schema: &Value, name: &str, depth: usize) -> Value {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::example;

    /// The old code answered `{"x":"x"}`, which the closed parent forbids.
    #[test]
    fn example_lacks_what_a_closed_object_forbids() {
        let x = json!({"type": "object", "properties": {"x": {"type": "string"}}});
        let y = json!({"properties": {"y": {"type": "string"}}, "additionalProperties": false});
        for (schema, expected) in [
            (
                json!({"type": "object", "anyOf": [x], "additionalProperties": false}),
                json!({}),
            ),
            (json!({"allOf": [x, y]}), json!({"y": "y"})),
            (json!({"anyOf": [x, y]}), json!({"x": "x"})),
            (
                json!({"type": "object", "properties": {"p": {"type": "string"}}, "oneOf": [x]}),
                json!({"p": "p", "x": "x"}),
            ),
        ] {
            assert_eq!(example(&schema, "value"), expected, "{schema}");
        }
    }
}
