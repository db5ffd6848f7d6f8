//! Two service models, as data: shapes, required members, enums, ranges.

use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

/// A shape of the service model. Structures have members; lists, maps and scalars a type.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shape {
    pub r#type: String,
    pub members: HashMap<String, String>,
    pub required: Vec<String>,
    /// Whether exactly one member must be set.
    pub union: bool,
    pub of: String,
    pub key: String,
    pub value: String,
    pub r#enum: Vec<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
    /// `pattern`, once it was needed. `None` if it is not a regular expression.
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

#[derive(Deserialize)]
struct File {
    shapes: HashMap<String, Shape>,
}

/// The shapes of one service.
pub struct ServiceModel(HashMap<String, Shape>);

pub static RUNTIME: LazyLock<ServiceModel> =
    LazyLock::new(|| read(include_str!("service-model.json")));
pub static AGENT_RUNTIME: LazyLock<ServiceModel> =
    LazyLock::new(|| read(include_str!("agent-service-model.json")));

/// The files are part of the program: a test reads them.
fn read(text: &str) -> ServiceModel {
    ServiceModel(
        serde_json::from_str::<File>(text)
            .map(|file| file.shapes)
            .unwrap_or_default(),
    )
}

impl ServiceModel {
    /// Checks `value` against the shape `name`. `path` is the path of the value, as the service writes it.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self, name: &str, value: &Value, path: &str) -> Result<(), String> {
        check(self, name, value, path)
    }
}

fn check(model: &ServiceModel, name: &str, value: &Value, path: &str) -> Result<(), String> {
    let Some(shape) = model.0.get(name) else {
        return Err(format!(
            "{path}: the simulator does not know the shape {name}"
        ));
    };
    match (shape.r#type.as_str(), value) {
        ("document", _) => Ok(()),
        ("list", Value::Array(items)) => {
            within(shape, items.len() as f64, path, "length")?;
            items.iter().enumerate().try_for_each(|(index, item)| {
                check(
                    model,
                    &shape.of,
                    item,
                    &format!("{path}.{}.member", index + 1),
                )
            })
        }
        ("map", Value::Object(map)) => {
            within(shape, map.len() as f64, path, "length")?;
            map.iter().try_for_each(|(key, item)| {
                check(
                    model,
                    &shape.key,
                    &Value::from(key.as_str()),
                    &format!("{path} key"),
                )?;
                check(model, &shape.value, item, &format!("{path}.{key}"))
            })
        }
        ("boolean", Value::Bool(_)) => Ok(()),
        ("string" | "blob", Value::String(text)) => string(shape, text, path),
        ("integer" | "long", Value::Number(number)) if number.is_i64() || number.is_u64() => {
            within(shape, number.as_f64().unwrap_or_default(), path, "value")
        }
        ("float" | "double", Value::Number(number)) => {
            within(shape, number.as_f64().unwrap_or_default(), path, "value")
        }
        ("", Value::Object(members)) => structure(model, shape, members, path),
        (expected, _) => {
            let expected = if expected.is_empty() {
                "structure"
            } else {
                expected
            };
            Err(format!(
                "Value at '{path}' failed to satisfy constraint: Member must be a {expected}"
            ))
        }
    }
}

fn structure(
    model: &ServiceModel,
    shape: &Shape,
    members: &serde_json::Map<String, Value>,
    path: &str,
) -> Result<(), String> {
    let at = |member: &str| {
        if path.is_empty() {
            member.to_owned()
        } else {
            format!("{path}.{member}")
        }
    };
    for required in &shape.required {
        if members.get(required).is_none_or(Value::is_null) {
            return Err(format!(
                "Value null at '{}' failed to satisfy constraint: Member must not be null",
                at(required)
            ));
        }
    }
    let set = members.iter().filter(|(_, value)| !value.is_null());
    if shape.union && set.clone().count() != 1 {
        return Err(format!(
            "Value at '{path}' must have exactly one member set"
        ));
    }
    for (member, value) in set {
        // The service ignores unknown members; here they are an error, because the gateway must not send them.
        let Some(name) = shape.members.get(member) else {
            return Err(format!("The service model has no member '{}'", at(member)));
        };
        check(model, name, value, &at(member))?;
    }
    Ok(())
}

fn string(shape: &Shape, text: &str, path: &str) -> Result<(), String> {
    if shape.r#type == "string" {
        within(shape, text.chars().count() as f64, path, "length")?;
    }
    if !shape.r#enum.is_empty() && !shape.r#enum.iter().any(|allowed| allowed == text) {
        let allowed = shape.r#enum.join(", ");
        return Err(format!(
            "Value '{text}' at '{path}' failed to satisfy constraint: Member must satisfy enum value set: [{allowed}]"
        ));
    }
    if let Some(pattern) = &shape.pattern {
        let regex = shape
            .compiled
            .get_or_init(|| Regex::new(&format!("^(?:{pattern})$")).ok());
        if !regex.as_ref().is_some_and(|regex| regex.is_match(text)) {
            return Err(format!(
                "Value '{text}' at '{path}' failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}"
            ));
        }
    }
    Ok(())
}

fn within(shape: &Shape, number: f64, path: &str, what: &str) -> Result<(), String> {
    if shape.min.is_some_and(|min| number < min) {
        return Err(format!(
            "Value at '{path}' failed to satisfy constraint: Member must have {what} greater than or equal to {}",
            shape.min.unwrap_or_default()
        ));
    }
    if shape.max.is_some_and(|max| number > max) {
        return Err(format!(
            "Value at '{path}' failed to satisfy constraint: Member must have {what} less than or equal to {}",
            shape.max.unwrap_or_default()
        ));
    }
    Ok(())
}
