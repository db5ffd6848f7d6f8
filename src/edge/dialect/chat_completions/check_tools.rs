//! Validates tools and JSON schemas, which are forwarded as the client wrote them.

use crate::{
    error::Error,
    openai::{
        chat::{ChatRequest, Function, JsonSchema},
        knowledge_base::FILE_SEARCH,
    },
    operation::chat::WEB_SEARCH,
};

/// Maximum length of a tool name, in characters.
const MAX_NAME: usize = 256;

/// Maximum size of a schema, in bytes. Limited because some models need it parsed and changed, which takes time.
const MAX_SCHEMA: usize = 512 * 1024;

/// Maximum nesting of JSON that is forwarded unparsed, such as schemas. serde_json has the same limit, but only for JSON
/// that it parses.
pub const MAX_DEPTH: usize = 128;

/// Validates `tools` and the legacy `functions`.
///
/// # Errors
/// 400 with the invalid tool.
pub fn tools(request: &ChatRequest) -> Result<(), Error> {
    if request.functions.is_some() && request.tools.is_some() {
        return Err(Error::invalid(
            "functions",
            "Send 'tools' or the legacy 'functions', not both.",
        ));
    }
    if request.functions.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::invalid(
            "functions",
            "'functions' must contain at least one function.",
        ));
    }
    for (index, tool) in request.tools.iter().flatten().enumerate() {
        let at = |member: &str| format!("tools[{index}].{member}");
        match (tool.kind.as_str(), &tool.function, &tool.custom) {
            ("function", Some(one), _) => {
                check_function(one, &|member| at(&format!("function.{member}")))?
            }
            ("custom", _, Some(custom)) => name(&custom.name, || at("custom.name"))?,
            (kind, None, None) if WEB_SEARCH.contains(&kind) || kind == FILE_SEARCH => {}
            _ => {
                return Err(Error::invalid(
                    at("type"),
                    "Supported tools are of type 'function' or 'custom' (with the member of that name), 'web_search' or 'file_search'.",
                ));
            }
        }
    }
    for (index, one) in request.functions.iter().flatten().enumerate() {
        check_function(one, &|member| format!("functions[{index}].{member}"))?;
    }
    Ok(())
}

/// Validates a function. `at` returns the path of a member.
///
/// # Errors
/// 400 with the invalid member.
pub fn check_function(function: &Function, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    name(&function.name, || at("name"))?;
    match &function.parameters {
        Some(schema) if !schema.get().starts_with('{') => Err(Error::invalid(
            at("parameters"),
            "'parameters' must be a JSON schema object.",
        )),
        Some(schema) if depth(schema.get()) > MAX_DEPTH => Err(too_deep(at("parameters"))),
        Some(schema) if schema.get().len() > MAX_SCHEMA => Err(Error::invalid(
            at("parameters"),
            format!("A schema may be at most {MAX_SCHEMA} bytes long."),
        )),
        _ => Ok(()),
    }
}

/// Validates the schema of an answer, which is at the path `at`.
///
/// # Errors
/// 400 with the invalid member.
pub fn schema(json_schema: &JsonSchema, at: &str) -> Result<(), Error> {
    let at = |member: &str| format!("{at}.{member}");
    if !(1..=64).contains(&json_schema.name.chars().count()) {
        return Err(Error::invalid(
            at("name"),
            "'name' must have 1 to 64 characters.",
        ));
    }
    match &json_schema.schema {
        Some(schema) if !schema.get().starts_with('{') => Err(Error::invalid(
            at("schema"),
            "'schema' must be a JSON schema object.",
        )),
        Some(schema) if depth(schema.get()) > MAX_DEPTH => Err(too_deep(at("schema"))),
        Some(schema) if schema.get().len() > MAX_SCHEMA => Err(Error::invalid(
            at("schema"),
            format!("A schema may be at most {MAX_SCHEMA} bytes long."),
        )),
        _ => Ok(()),
    }
}

/// Validates the length of a tool name. Characters that Bedrock does not allow are accepted, because such names are
/// replaced later.
///
/// # Errors
/// 400 with `param`.
pub fn name(name: &str, param: impl FnOnce() -> String) -> Result<(), Error> {
    match (1..=MAX_NAME).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(Error::invalid(
            param(),
            format!("A tool name must have 1 to {MAX_NAME} characters."),
        )),
    }
}

/// Creates the error for JSON that is nested too deeply.
pub fn too_deep(param: String) -> Error {
    Error::invalid(
        param,
        format!("JSON may be nested at most {MAX_DEPTH} levels deep."),
    )
}

/// Returns the nesting depth of JSON text. For invalid JSON, returns an upper bound of the depth that a parser reaches.
pub fn depth(json: &str) -> usize {
    let (mut deepest, mut current, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                current += 1;
                deepest = deepest.max(current);
            }
            b'}' | b']' if !in_string => current = current.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_does_not_count_braces_in_strings() {
        assert_eq!(depth(r#"{"a":[1,{"b":"[[[{{{\"[["}]}"#), 3);
    }
}
