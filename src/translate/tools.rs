//! Tools and tool choice.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    call::Notes,
    converse::request::{Tool, ToolChoice, ToolConfig, ToolInputSchema, ToolSpecification},
    error::Error,
    openai::chat::{self, ChatRequest},
};

/// `toolConfig`, or none. `called` are the tools that the history calls.
pub fn tool_config<'a>(
    request: &'a ChatRequest,
    called: &[&'a str],
    notes: &Notes,
) -> Result<Option<ToolConfig<'a>>, Error> {
    let mut tools: Vec<Tool<'a>> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for function in request.tools.iter().flatten().filter_map(|tool| tool.function.as_ref()) {
        if names.contains(&function.name.as_str()) {
            notes.add(format!("tools: '{}' is there twice; the first was sent", function.name));
            continue;
        }
        names.push(&function.name);
        if function.strict == Some(true) {
            notes.dropped("tools[].function.strict", "not every model behind Bedrock honours it");
        }
        let schema = function.parameters.as_deref().map(|schema| object_schema(schema, &function.name)).transpose()?;
        tools.push(specification(&function.name, function.description.as_deref(), schema));
    }
    let none = matches!(&request.tool_choice, Some(chat::ToolChoice::Mode(mode)) if mode == "none");
    if none && called.is_empty() {
        tools.clear();
    }
    if request.parallel_tool_calls == Some(false) && !tools.is_empty() {
        notes.dropped("parallel_tool_calls", "Converse has no such parameter");
    }
    // Converse refuses a history with tool blocks unless tools are declared.
    if tools.is_empty() {
        if !called.is_empty() {
            notes.add("tools: rebuilt from the calls in the history, which Converse refuses without them");
        }
        tools.extend(called.iter().map(|name| specification(name, None, None)));
    }
    let tool_choice = tool_choice(request, &names, !called.is_empty(), notes)?;
    Ok((!tools.is_empty()).then_some(ToolConfig { tools, tool_choice }))
}

/// The service wants a root of type object, which JSON schema lets authors leave out.
fn object_schema<'a>(schema: &'a RawValue, name: &str) -> Result<Cow<'a, RawValue>, Error> {
    #[derive(Deserialize)]
    struct Root<'a> {
        #[serde(borrow, default)]
        r#type: Option<&'a RawValue>,
    }
    match serde_json::from_str::<Root<'_>>(schema.get()) {
        Ok(Root { r#type: Some(root) }) if root.get() == "\"object\"" => Ok(Cow::Borrowed(schema)),
        Ok(Root { r#type: None }) => {
            let members = schema.get().trim_start_matches('{').trim_start();
            let comma = if members.starts_with('}') { "" } else { "," };
            Ok(owned(format!("{{\"type\":\"object\"{comma}{members}")))
        }
        _ => Err(Error::invalid("tools", format!("The 'parameters' of '{name}' must be a schema of type 'object'."))),
    }
}

/// Text that is known to be JSON.
fn owned<'a>(json: String) -> Cow<'a, RawValue> {
    RawValue::from_string(json).map_or(Cow::Borrowed(RawValue::NULL), Cow::Owned)
}

fn specification<'a>(name: &'a str, description: Option<&'a str>, schema: Option<Cow<'a, RawValue>>) -> Tool<'a> {
    // The service wants at least one character.
    let description = description.filter(|text| !text.trim().is_empty()).unwrap_or(name);
    let json = schema.unwrap_or_else(|| owned(r#"{"type":"object","properties":{}}"#.to_owned()));
    Tool::ToolSpec(ToolSpecification {
        name: Cow::Borrowed(name),
        description: Cow::Borrowed(description),
        input_schema: ToolInputSchema { json },
    })
}

fn tool_choice<'a>(
    request: &'a ChatRequest,
    names: &[&str],
    called: bool,
    notes: &Notes,
) -> Result<Option<ToolChoice<'a>>, Error> {
    match &request.tool_choice {
        // The service's own default, which is also what families without the member do.
        None => Ok(None),
        Some(chat::ToolChoice::Mode(mode)) => match mode.as_str() {
            "auto" => Ok(None),
            "none" => {
                if !names.is_empty() && called {
                    notes.dropped("tool_choice", "Converse cannot forbid calls while the history holds some");
                }
                Ok(None)
            }
            "required" if names.is_empty() => {
                Err(Error::invalid("tool_choice", "'tool_choice' is 'required', but there are no 'tools'."))
            }
            "required" => Ok(Some(ToolChoice::Any {})),
            _ => Err(Error::invalid(
                "tool_choice",
                "'tool_choice' must be 'none', 'auto', 'required' or {\"type\": \"function\", \"function\": {\"name\": …}}.",
            )),
        },
        Some(chat::ToolChoice::Function(name)) if names.contains(&name.as_str()) => {
            Ok(Some(ToolChoice::Tool { name: Cow::Borrowed(name) }))
        }
        Some(chat::ToolChoice::Function(_)) => {
            Err(Error::invalid("tool_choice.function.name", "'tool_choice' names a function that is not in 'tools'."))
        }
    }
}
