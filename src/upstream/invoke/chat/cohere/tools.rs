//! The tools of a request. Cohere's definitions are flat: each parameter has a Python type and a description.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    bedrock::request::{Tool as ConverseTool, ToolConfig, ToolSpecification},
    error::Error,
    upstream::invoke::chat::body::Body,
};

/// The members of a schema that a definition expresses, or that say nothing about the input.
const ROOT: [&str; 7] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "title",
    "description",
    "$schema",
];

/// The members of a parameter's schema that a definition expresses.
const PARAMETER: [&str; 3] = ["type", "title", "description"];

/// A tool.
#[derive(Serialize)]
pub struct Tool<'a> {
    name: &'a str,
    description: String,
    parameter_definitions: Body,
}

#[derive(Serialize)]
struct Parameter {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    required: bool,
}

/// What a parameter's schema says. Members of another form are read as absent, and the whole schema is sent as text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Schema {
    #[serde(rename = "type")]
    kind: Option<String>,
    description: Option<String>,
}

/// Returns the tools of a request.
///
/// # Errors
/// If a definition cannot be serialized.
pub fn of<'r>(config: &'r ToolConfig<'_>) -> Result<Vec<Tool<'r>>, Error> {
    let tools = config.tools.iter().filter_map(|tool| match tool {
        ConverseTool::ToolSpec(spec) => Some(of_spec(spec)),
        // The facts of this route have none of them.
        ConverseTool::SystemTool { .. }
        | ConverseTool::CachePoint(_)
        | ConverseTool::ClientTool { .. } => None,
    });
    tools.collect()
}

fn of_spec<'r>(spec: &'r ToolSpecification<'_>) -> Result<Tool<'r>, Error> {
    let schema = &spec.input_schema.json;
    let (parameter_definitions, is_expressed) = match Body::read(schema.get().as_bytes()) {
        Ok(root) => definitions(&root)?,
        Err(_) => (Body::default(), false),
    };
    let description = match is_expressed {
        true => spec.description.clone().into_owned(),
        // What the definitions cannot express must not be lost.
        false => format!(
            "{}\n\nThe parameters follow this JSON schema: {}",
            spec.description,
            schema.get()
        ),
    };
    Ok(Tool {
        name: &spec.name,
        description,
        parameter_definitions,
    })
}

/// Returns the definitions, and whether they express all that the schema says.
fn definitions(root: &Body) -> Result<(Body, bool), Error> {
    let read = |name: &str| root.get(name).map(|raw| raw.get().as_bytes());
    let required: Vec<String> = read("required")
        .and_then(|raw| serde_json::from_slice(raw).ok())
        .unwrap_or_default();
    let properties = match read("properties").map(Body::read) {
        Some(Ok(properties)) => properties,
        Some(Err(_)) => return Ok((Body::default(), false)),
        None => Body::default(),
    };
    let mut is_expressed = root.names().all(|name| ROOT.contains(&name));
    let mut definitions = Body::default();
    for (name, schema) in properties.members() {
        let (parameter, is_whole) = parameter(schema, required.iter().any(|own| own == name));
        definitions.set(name, &parameter)?;
        is_expressed &= is_whole;
    }
    Ok((definitions, is_expressed))
}

fn parameter(schema: &RawValue, required: bool) -> (Parameter, bool) {
    let Schema { kind, description } = serde_json::from_str(schema.get()).unwrap_or_default();
    let members = Body::read(schema.get().as_bytes());
    let is_plain = members.is_ok_and(|own| own.names().all(|name| PARAMETER.contains(&name)));
    let (kind, is_scalar) = match kind.as_deref() {
        Some("string") => ("str", true),
        Some("integer") => ("int", true),
        Some("number") => ("float", true),
        Some("boolean") => ("bool", true),
        Some("array") => ("List", false),
        Some("object") => ("Dict", false),
        _ => ("Any", false),
    };
    let parameter = Parameter {
        description,
        kind,
        required,
    };
    (parameter, is_plain && is_scalar)
}
