//! Checks the JSON types of keywords in the schemas of tools, as Converse does before it asks any model:
//! <https://github.com/aws/aws-sdk-php/issues/2962>, <https://github.com/maximhq/bifrost/issues/1720>. Claude also rejects
//! keywords of drafts before 2020-12: <https://github.com/Dokploy/mcp/issues/74>.

use serde_json::Value;

/// Keywords and the JSON type of their value.
const TYPES: [(&str, &str); 14] = [
    ("properties", "object"),
    ("patternProperties", "object"),
    ("$defs", "object"),
    ("definitions", "object"),
    ("required", "array"),
    ("enum", "array"),
    ("anyOf", "array"),
    ("oneOf", "array"),
    ("allOf", "array"),
    ("title", "string"),
    ("description", "string"),
    ("pattern", "string"),
    ("minimum", "number"),
    ("maximum", "number"),
];

/// Checks the schema of the tool at `index`.
///
/// # Errors
/// The first violation.
pub fn check(schema: &Value, index: usize) -> Result<(), String> {
    walk(schema, "$").map_err(|problem| {
        format!(
            "The json schema definition at toolConfig.tools.{index}.toolSpec.inputSchema is invalid. Fix the following errors and try again: {problem}"
        )
    })
}

/// Checks that the schema is one of draft 2020-12.
///
/// # Errors
/// The message of the model.
pub fn draft(schema: &Value) -> Result<(), String> {
    match is_older(schema) {
        true => Err("JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12).".into()),
        false => Ok(()),
    }
}

/// Reports whether a schema at any depth has a keyword in the form of an older draft. Examples and defaults are no schemas.
fn is_older(schema: &Value) -> bool {
    let Value::Object(members) = schema else {
        return false;
    };
    members
        .iter()
        .any(|(name, member)| match (name.as_str(), member) {
            ("exclusiveMinimum" | "exclusiveMaximum", limit) => !limit.is_number(),
            ("items", Value::Array(_)) | ("type", Value::Null) => true,
            (
                "properties" | "patternProperties" | "$defs" | "definitions",
                Value::Object(named),
            ) => named.values().any(is_older),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(list)) => {
                list.iter().any(is_older)
            }
            ("items" | "not" | "additionalProperties", schema) => is_older(schema),
            _ => false,
        })
}

fn walk(schema: &Value, at: &str) -> Result<(), String> {
    for (keyword, expected) in TYPES {
        let Some(value) = schema.get(keyword) else {
            continue;
        };
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if found != expected {
            return Err(format!(
                "{at}.{keyword}: {found} found, {expected} expected"
            ));
        }
    }
    for keyword in ["properties", "patternProperties", "$defs", "definitions"] {
        for (name, schema) in schema[keyword].as_object().into_iter().flatten() {
            walk(schema, &format!("{at}.{keyword}.{name}"))?;
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for (index, schema) in schema[keyword].as_array().into_iter().flatten().enumerate() {
            walk(schema, &format!("{at}.{keyword}[{index}]"))?;
        }
    }
    for keyword in ["items", "not", "additionalProperties"] {
        if let Some(schema) = schema.get(keyword) {
            walk(schema, &format!("{at}.{keyword}"))?;
        }
    }
    Ok(())
}
