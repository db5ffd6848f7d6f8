//! What the service and single models reject in the schemas of tools and of structured answers.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::schema_types;

/// Keywords that strict schemas do not support.
const UNSUPPORTED: [&str; 24] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "prefixItems",
];

/// The limits of a family on all strict schemas of a request together.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct StrictLimits {
    pub tools: usize,
    pub optional: usize,
    pub unions: usize,
}

/// Checks the schemas of a request. `refuses` names what the family rejects.
///
/// # Errors
/// The first violation.
pub fn check(
    request: &Value,
    refuses: &HashSet<&str>,
    limits: Option<StrictLimits>,
) -> Result<(), String> {
    let specs: Vec<&Value> = request["toolConfig"]["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tool| &tool["toolSpec"])
        .filter(|spec| spec.is_object())
        .collect();
    let mut strict: Vec<Value> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let schema = &spec["inputSchema"]["json"];
        schema_types::check(schema, index)?;
        root(schema, refuses)
            .and_then(|()| match refuses.contains("older_drafts") {
                true => schema_types::draft(schema),
                false => Ok(()),
            })
            .map_err(|text| format!("tools.{index}.custom.input_schema: {text}"))?;
        if spec["strict"] == true {
            if refuses.contains("strict") {
                return Err("This model doesn't support the toolConfig.tools.toolSpec.strict field. Remove it and try again.".into());
            }
            strict.push(schema.clone());
        }
    }
    let tools = strict.len();
    if let Some(text) =
        request["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str()
    {
        let schema = serde_json::from_str(text)
            .map_err(|error| format!("output_config.format.schema: {error}"))?;
        strict.push(schema);
    }
    let (mut optional, mut unions) = (0, 0);
    for schema in &strict {
        let mut walk = Walk::default();
        walk.schema(schema)?;
        optional += walk.optional;
        unions += walk.unions;
    }
    let Some(limits) = limits else {
        return Ok(());
    };
    if tools > limits.tools {
        return Err(format!(
            "Too many strict tools ({tools}). The maximum number of strict tools supported is {}.",
            limits.tools
        ));
    }
    if optional > limits.optional {
        return Err(format!(
            "Schemas contains too many optional parameters ({optional}), which would make grammar compilation inefficient. Reduce the number of optional parameters in your tool schemas (limit: {}).",
            limits.optional
        ));
    }
    if unions > limits.unions {
        return Err(format!(
            "Schemas contains too many parameters with union types ({unions} parameters with type arrays or anyOf). (limit: {} parameters with unions).",
            limits.unions
        ));
    }
    Ok(())
}

/// Checks the keywords at the root of a tool's schema.
fn root(schema: &Value, refuses: &HashSet<&str>) -> Result<(), String> {
    let mut names = schema.as_object().into_iter().flat_map(Map::keys);
    if refuses.contains("root_unions")
        && names
            .clone()
            .any(|name| ["oneOf", "allOf", "anyOf"].contains(&name.as_str()))
    {
        return Err("input_schema does not support oneOf, allOf, or anyOf at the top level".into());
    }
    if refuses.contains("root_keywords")
        && let Some(name) =
            names.find(|name| !["type", "properties", "required"].contains(&name.as_str()))
    {
        return Err(format!("'{name}' is not supported at the top level"));
    }
    Ok(())
}

/// A walk through a strict schema.
#[derive(Default)]
struct Walk {
    optional: usize,
    unions: usize,
}

impl Walk {
    fn schema(&mut self, schema: &Value) -> Result<(), String> {
        let Some(members) = schema.as_object() else {
            return Ok(());
        };
        if let Some(keyword) = UNSUPPORTED
            .iter()
            .find(|keyword| members.contains_key(**keyword))
        {
            let kind = &members.get("type").unwrap_or(&Value::Null);
            return Err(format!(
                "For {kind} type, property '{keyword}' is not supported"
            ));
        }
        let is_complex = |value: &Value| value.is_object() || value.is_array();
        let values = schema["enum"].as_array();
        if values.into_iter().flatten().any(is_complex) || is_complex(&schema["const"]) {
            return Err("Enum values must be strings, numbers, booleans or null".into());
        }
        let all = schema["allOf"].as_array();
        if all
            .into_iter()
            .flatten()
            .any(|branch| branch["$ref"].is_string())
        {
            return Err("'allOf' with '$ref' is not supported".into());
        }
        if schema["$ref"]
            .as_str()
            .is_some_and(|reference| reference == "#" || !reference.starts_with('#'))
        {
            return Err("Recursive and external references are not supported".into());
        }
        let kind = &schema["type"];
        let lists_object = kind
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"));
        let is_object = kind == "object" || lists_object || members.contains_key("properties");
        if is_object && schema["additionalProperties"] != false {
            return Err(
                "For 'object' type, 'additionalProperties' must be explicitly set to false".into(),
            );
        }
        self.unions += usize::from(kind.is_array() || members.contains_key("anyOf"));
        let required = schema["required"].as_array();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_required =
                required.is_some_and(|names| names.iter().any(|required| required == name));
            self.optional += usize::from(!is_required);
            self.schema(property)?;
        }
        for definitions in ["$defs", "definitions"] {
            for (_, schema) in schema[definitions].as_object().into_iter().flatten() {
                self.schema(schema)?;
            }
        }
        for list in ["anyOf", "allOf"] {
            for schema in schema[list].as_array().into_iter().flatten() {
                self.schema(schema)?;
            }
        }
        self.schema(&schema["items"])
    }
}
