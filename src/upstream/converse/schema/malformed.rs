//! Repairs keywords whose value has the wrong JSON type. Some languages write an absent value as `null` and an empty map
//! as `[]`, and Bedrock rejects such a schema for every model: "$.properties: array found, object expected". Keywords of
//! older drafts are rewritten, because Claude rejects what is not valid in draft 2020-12.

use serde_json::{Map, Value};

use super::visit::each_schema;

/// Keywords whose value is an object.
const MAPS: [&str; 6] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependentRequired",
];

/// Other keywords whose value is never `null`.
const NOT_NULL: [&str; 34] = [
    "type",
    "$ref",
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "title",
    "description",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "required",
    "enum",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "items",
    "prefixItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
];

/// Limits that are flags in draft 4, with the keyword that has the number.
const EXCLUSIVE: [(&str, &str); 2] = [
    ("exclusiveMinimum", "minimum"),
    ("exclusiveMaximum", "maximum"),
];

/// Reports whether the text of a schema may have a malformed keyword, so that well-formed schemas need not be parsed.
pub fn may_be_malformed(schema: &str) -> bool {
    // In a list, `null` may be a value of `enum`.
    let has_null = || {
        let mut nulls = schema.match_indices("null");
        nulls.any(|(at, _)| schema[..at].trim_end().ends_with([':', '[', ',']))
    };
    MAPS.iter()
        .any(|keyword| has(schema, keyword, |first| first != '{'))
        || has(schema, "required", |first| first != '[')
        || has(schema, "items", |first| first == '[')
        || EXCLUSIVE
            .iter()
            .any(|(flag, _)| has(schema, flag, |first| matches!(first, 't' | 'f')))
        || has_null()
}

/// Reports whether a member `keyword` has a value whose first character passes `test`.
fn has(schema: &str, keyword: &str, test: impl Fn(char) -> bool) -> bool {
    let mut places = schema.match_indices(keyword);
    places.any(|(at, _)| {
        let rest = schema[at + keyword.len()..].strip_prefix('"');
        let value = rest.and_then(|rest| rest.trim_start().strip_prefix(':'));
        let first = value.and_then(|value| value.trim_start().chars().next());
        first.is_some_and(&test)
    })
}

/// Replaces empty lists with the objects that they stand for, and removes keywords that are `null`, which means absent.
/// Returns whether a `required` that is not a list was lost.
pub fn repair(schema: &mut Value) -> bool {
    let mut lost = false;
    each_schema(schema, &mut |members| {
        let is_empty_list = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        for keyword in MAPS {
            if let Some(value) = members
                .get_mut(keyword)
                .filter(|value| is_empty_list(value))
            {
                *value = Value::Object(Map::new());
            }
        }
        members.retain(|name, value| {
            let name = name.as_str();
            !value.is_null() || !(MAPS.contains(&name) || NOT_NULL.contains(&name))
        });
        match members.get_mut("required") {
            Some(Value::Array(names)) => names.retain(Value::is_string),
            Some(_) => {
                members.shift_remove("required");
                lost = true;
            }
            None => {}
        }
        modernize(members);
        replace_null(members);
    });
    lost
}

/// Replaces `null` in place of a schema: a member of which nothing is known may be anything, and a branch that is absent
/// is none.
fn replace_null(members: &mut Map<String, Value>) {
    for (keyword, member) in members.iter_mut() {
        match (keyword.as_str(), member) {
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(schemas),
            ) => {
                for (_, schema) in schemas.iter_mut().filter(|(_, schema)| schema.is_null()) {
                    *schema = Value::Object(Map::new());
                }
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.retain(|schema| !schema.is_null());
            }
            _ => {}
        }
    }
}

/// Replaces keywords of older drafts with those of draft 2020-12 that mean the same.
fn modernize(members: &mut Map<String, Value>) {
    for (flag, limit) in EXCLUSIVE {
        let Some(Value::Bool(is_exclusive)) = members.get(flag) else {
            continue;
        };
        let number = is_exclusive.then(|| members.get(limit).cloned()).flatten();
        members.shift_remove(flag);
        if let Some(number) = number {
            members.shift_remove(limit);
            members.insert(flag.to_owned(), number);
        }
    }
    if let Some(Value::String(reference)) = members.get_mut("$ref")
        && reference.contains("/items/")
    {
        *reference = modern_reference(reference);
    }
    if members.get("items").is_some_and(Value::is_array)
        && let Some(Value::Array(list)) = members.shift_remove("items")
    {
        if !list.is_empty() {
            members.insert("prefixItems".to_owned(), list.into());
        }
        if let Some(rest) = members.shift_remove("additionalItems") {
            members.insert("items".to_owned(), rest);
        }
    }
}

/// Follows the lists that became `prefixItems`. zod-to-json-schema refers to a repeated schema by its place.
fn modern_reference(reference: &str) -> String {
    let mut segments: Vec<&str> = reference.split('/').collect();
    for at in 1..segments.len() {
        if segments[at - 1] == "items" && segments[at].parse::<usize>().is_ok() {
            segments[at - 1] = "prefixItems";
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(schema: &str) -> (String, bool) {
        assert!(may_be_malformed(schema), "{schema}");
        let mut value = serde_json::from_str(schema).unwrap();
        let lost = repair(&mut value);
        (value.to_string(), lost)
    }

    #[test]
    fn keywords_of_the_wrong_type_are_repaired_at_every_depth() {
        for (sent, expected) in [
            (
                r#"{"type":"object","properties":[]}"#,
                r#"{"type":"object","properties":{}}"#,
            ),
            (r#"{"properties": null, "required" : null}"#, "{}"),
            (
                r#"{"properties":{"a":{"items":{"properties":[]},"description":null}}}"#,
                r#"{"properties":{"a":{"items":{"properties":{}}}}}"#,
            ),
            (
                r#"{"properties":{"a":null,"b":{"anyOf":[null,{"type":"string"}]}},"required":["a",null]}"#,
                r#"{"properties":{"a":{},"b":{"anyOf":[{"type":"string"}]}},"required":["a"]}"#,
            ),
            (
                r#"{"if":{"required":null},"then":{"properties":[]}}"#,
                r#"{"if":{},"then":{"properties":{}}}"#,
            ),
            (
                r#"{"properties":{"a":{"type":null,"minimum":1}}}"#,
                r#"{"properties":{"a":{"minimum":1}}}"#,
            ),
        ] {
            assert_eq!(repaired(sent), (expected.to_owned(), false), "{sent}");
        }
        let (schema, lost) = repaired(r#"{"properties":{"a":{"type":"string","required":true}}}"#);
        assert_eq!(schema, r#"{"properties":{"a":{"type":"string"}}}"#);
        assert!(lost);
    }

    #[test]
    fn keywords_of_older_drafts_are_rewritten() {
        for (sent, expected) in [
            (
                r#"{"minimum":0,"exclusiveMinimum":true}"#,
                r#"{"exclusiveMinimum":0}"#,
            ),
            (
                r#"{"maximum":9,"exclusiveMaximum": false}"#,
                r#"{"maximum":9}"#,
            ),
            (r#"{"exclusiveMinimum":true}"#, "{}"),
            (
                r#"{"items":[{"type":"string"},{"items":[]}],"additionalItems":false}"#,
                r#"{"prefixItems":[{"type":"string"},{}],"items":false}"#,
            ),
            (
                r##"{"properties":{"items":{"items":[{"type":"string"}]},"b":{"$ref":"#/properties/items/items/0"}}}"##,
                r##"{"properties":{"items":{"prefixItems":[{"type":"string"}]},"b":{"$ref":"#/properties/items/prefixItems/0"}}}"##,
            ),
        ] {
            assert_eq!(repaired(sent), (expected.to_owned(), false), "{sent}");
        }
    }

    #[test]
    fn null_stays_where_it_is_a_value() {
        for schema in [
            r#"{"properties":{"a":{"type":["string","null"],"default":null}}}"#,
            r#"{"properties":{"a":{"enum":["x",null],"const":null}}}"#,
            r#"{"properties":{"required":{"type":"string"},"properties":{"type":"object"}}}"#,
        ] {
            let mut value: Value = serde_json::from_str(schema).unwrap();
            assert!(!repair(&mut value));
            assert_eq!(value.to_string(), schema);
        }
        assert!(!may_be_malformed(
            r#"{"type":"object","properties":{"a":{"type":["string","null"]}},"required":[]}"#
        ));
    }
}
