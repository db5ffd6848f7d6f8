//! Members that may be `null`. Each is a union, of which strict schemas may have few.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::visit::each_schema;

/// Removes `null` from up to `most` properties that are no unions without it. They become optional: the model leaves them
/// out instead.
pub fn make_nullable_optional(schema: &mut Value, mut most: usize) {
    each_schema(schema, &mut |members| {
        let Some(Value::Object(properties)) = members.get_mut("properties") else {
            return;
        };
        let mut optional = HashSet::new();
        for (name, property) in properties {
            if most > 0 && remove_null(property) {
                most -= 1;
                optional.insert(name.clone());
            }
        }
        if let Some(Value::Array(required)) = members.get_mut("required") {
            required.retain(|name| !name.as_str().is_some_and(|name| optional.contains(name)));
        }
    });
}

/// Removes `null` from a schema if that leaves no union. Reports whether it did.
fn remove_null(schema: &mut Value) -> bool {
    let Value::Object(members) = schema else {
        return false;
    };
    if let Some(Value::Array(kinds)) = members.get("type") {
        let others: Vec<&Value> = kinds.iter().filter(|kind| *kind != "null").collect();
        if let ([only], 2) = (others.as_slice(), kinds.len()) {
            let only = Value::clone(only);
            members.insert("type".to_owned(), only);
            return true;
        }
    }
    for keyword in ["anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = members.get(keyword) else {
            continue;
        };
        let mut others = branches.iter().filter(|branch| branch["type"] != "null");
        if let (Some(Value::Object(only)), None, 2) = (others.next(), others.next(), branches.len())
            && !is_union(only)
        {
            let only = only.clone();
            members.shift_remove(keyword);
            for (name, member) in only {
                members.entry(name).or_insert(member);
            }
            return true;
        }
    }
    false
}

/// Reports whether a schema counts as a union.
pub fn is_union(members: &Map<String, Value>) -> bool {
    let kinds = members.get("type").and_then(Value::as_array);
    kinds.is_some_and(|kinds| kinds.len() > 1)
        || ["anyOf", "oneOf"]
            .iter()
            .any(|of| members.contains_key(*of))
}
