//! Checks of tools and schemas: JSON of the client that is carried as it is.

use crate::{
    error::Error,
    openai::{
        chat::{ChatRequest, Function, JsonSchema},
        knowledge_base::FILE_SEARCH,
    },
    operation::chat::WEB_SEARCH,
};

/// OpenAI's own cap on tools; also for the calls of one message.
pub const MAX_TOOLS: usize = 128;

/// Characters of the name of a tool.
const MAX_NAME: usize = 256;

/// Bytes of one schema: it may be parsed and changed, which takes time.
const MAX_SCHEMA: usize = 512 * 1024;

/// Nesting of client JSON that is carried as it is (schemas). serde_json rejects deeper text only
/// where it parses it.
pub const MAX_DEPTH: usize = 128;

/// # Errors
/// 400 with the tool at fault.
pub fn tools(request: &ChatRequest) -> Result<(), Error> {
    if request
        .tools
        .as_ref()
        .is_some_and(|tools| tools.len() > MAX_TOOLS)
    {
        return Err(Error::invalid(
            "tools",
            format!("'tools' may hold {MAX_TOOLS} tools at most."),
        ));
    }
    if request.functions.is_some() && request.tools.is_some() {
        return Err(Error::invalid(
            "functions",
            "Send 'tools' or the legacy 'functions', not both.",
        ));
    }
    if request
        .functions
        .as_ref()
        .is_some_and(|functions| !(1..=MAX_TOOLS).contains(&functions.len()))
    {
        return Err(Error::invalid(
            "functions",
            format!("'functions' must hold 1 to {MAX_TOOLS} functions."),
        ));
    }
    for (index, tool) in request.tools.iter().flatten().enumerate() {
        let at = |member: &str| format!("tools[{index}].{member}");
        match (tool.kind.as_str(), &tool.function, &tool.custom) {
            ("function", Some(function), _) => {
                check_function(function, &|member| at(&format!("function.{member}")))?
            }
            ("custom", _, Some(custom)) => name(&custom.name, || at("custom.name"))?,
            (kind, None, None) if WEB_SEARCH.contains(&kind) || kind == FILE_SEARCH => {}
            _ => {
                return Err(Error::invalid(
                    at("type"),
                    "Only tools of type 'function' and 'custom' are supported, with the member of that name, 'web_search' and 'file_search'.",
                ));
            }
        }
    }
    for (index, function) in request.functions.iter().flatten().enumerate() {
        check_function(function, &|member| format!("functions[{index}].{member}"))?;
    }
    Ok(())
}

fn check_function(function: &Function, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    name(&function.name, || at("name"))?;
    match &function.parameters {
        Some(schema) if !schema.get().starts_with('{') => Err(Error::invalid(
            at("parameters"),
            "'parameters' must be a JSON schema object.",
        )),
        Some(schema) if depth(schema.get()) > MAX_DEPTH => Err(too_deep(at("parameters"))),
        Some(schema) if schema.get().len() > MAX_SCHEMA => Err(Error::invalid(
            at("parameters"),
            format!("A schema may have {MAX_SCHEMA} bytes at most."),
        )),
        _ => Ok(()),
    }
}

/// The schema of a structured answer.
/// # Errors
/// 400 with the member at fault.
pub fn schema(wanted: &JsonSchema) -> Result<(), Error> {
    let at = |member: &str| format!("response_format.json_schema.{member}");
    if !(1..=64).contains(&wanted.name.chars().count()) {
        return Err(Error::invalid(at("name"), "'name' has 1 to 64 characters."));
    }
    match &wanted.schema {
        Some(schema) if !schema.get().starts_with('{') => Err(Error::invalid(
            at("schema"),
            "'schema' must be a JSON schema object.",
        )),
        Some(schema) if depth(schema.get()) > MAX_DEPTH => Err(too_deep(at("schema"))),
        Some(schema) if schema.get().len() > MAX_SCHEMA => Err(Error::invalid(
            at("schema"),
            format!("A schema may have {MAX_SCHEMA} bytes at most."),
        )),
        _ => Ok(()),
    }
}

/// Any name will do, it is mended where the service wants another; an absurd one is a mistake.
pub fn name(name: &str, param: impl FnOnce() -> String) -> Result<(), Error> {
    match (1..=MAX_NAME).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(Error::invalid(
            param(),
            format!("A name of a tool has 1 to {MAX_NAME} characters."),
        )),
    }
}

pub fn too_deep(param: String) -> Error {
    Error::invalid(
        param,
        format!("JSON may be nested {MAX_DEPTH} levels deep at most."),
    )
}

/// The nesting of JSON text. Of text that is not JSON it is no more than an upper bound of what a parser would meet.
pub fn depth(json: &str) -> usize {
    let (mut deepest, mut now, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
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
