//! Visits the schemas inside a schema.

use serde_json::{Map, Value};

/// Calls `change` for `value` and every subschema. Visits only keywords that hold schemas, because a property may be
/// named like a keyword, for example `pattern`.
pub fn each_schema(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(members) = value else {
        return;
    };
    change(members);
    for (name, member) in members.iter_mut() {
        match name.as_str() {
            "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
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
            "items"
            | "not"
            | "additionalProperties"
            | "contains"
            | "propertyNames"
            | "if"
            | "then"
            | "else" => each_schema(member, change),
            _ => {}
        }
    }
}

/// Reports whether `test` holds for `value` or any subschema.
pub fn any_schema(value: &Value, test: &impl Fn(&Map<String, Value>) -> bool) -> bool {
    let Value::Object(members) = value else {
        return false;
    };
    test(members)
        || members.iter().any(|(name, member)| match name.as_str() {
            "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
                member
                    .as_object()
                    .is_some_and(|members| members.values().any(|schema| any_schema(schema, test)))
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => member
                .as_array()
                .is_some_and(|schemas| schemas.iter().any(|schema| any_schema(schema, test))),
            "items"
            | "not"
            | "additionalProperties"
            | "contains"
            | "propertyNames"
            | "if"
            | "then"
            | "else" => any_schema(member, test),
            _ => false,
        })
}
