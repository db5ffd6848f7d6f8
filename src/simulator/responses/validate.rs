//! The form of a request, and what models refuse. Unknown members are refused, because a real server may ignore them.

use serde_json::Value;

use super::{
    Family, Host, NativeRefusal,
    items::{self, is_name},
};

const MEMBERS: [&str; 16] = [
    "model",
    "input",
    "instructions",
    "max_output_tokens",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "include",
    "service_tier",
    "temperature",
    "top_p",
    "metadata",
    "store",
    "stream",
];

/// Checks a request for a model of `family`.
///
/// # Errors
/// 400 with the member.
pub fn check(request: &Value, family: &Family, host: &Host) -> Result<(), NativeRefusal> {
    let wrong = |param: &'static str, text: &str| {
        Err(NativeRefusal::invalid(
            Some(param),
            format!("'{param}': {text}"),
        ))
    };
    let Some(members) = request.as_object() else {
        return wrong("body", "must be an object");
    };
    let unknown = members
        .keys()
        .find(|name| !MEMBERS.contains(&name.as_str()));
    if let Some(unknown) = unknown {
        let text = format!("Unknown parameter: '{unknown}'.");
        return Err(NativeRefusal::invalid(None, text));
    }
    if members.values().any(Value::is_null) {
        return wrong("body", "a member is null");
    }
    if request["store"] != false {
        return wrong("store", "the gateway must not store answers unless asked");
    }
    if request["max_output_tokens"].as_u64().unwrap_or(0) < 16 {
        return wrong(
            "max_output_tokens",
            "integer below minimum value, or missing, which means the model's maximum. Expected a value >= 16",
        );
    }
    for name in ["temperature", "top_p"] {
        if request.get(name).is_some_and(|value| value != 1) {
            let text = format!("Unsupported parameter: '{name}' is not supported with this model.");
            return Err(NativeRefusal::invalid(None, text));
        }
    }
    let effort = &request["reasoning"]["effort"];
    let is_known = family.efforts.iter().any(|known| effort == known.as_str());
    if !effort.is_null() && !is_known {
        return wrong("reasoning", "the effort is not supported");
    }
    let summary = &request["reasoning"]["summary"];
    if !summary.is_null() && summary != "auto" {
        return wrong("reasoning", "the summary supports only 'auto'");
    }
    for included in request["include"].as_array().into_iter().flatten() {
        if included != "reasoning.encrypted_content" || !family.encrypted {
            return wrong("include", "the value is not supported with this model");
        }
    }
    let tier = request["service_tier"].as_str();
    let offers = |tier: &str| *host != Host::Runtime && family.tiers.iter().any(|one| one == tier);
    if tier.is_some_and(|tier| !offers(tier)) {
        return wrong("service_tier", "the value is not available");
    }
    text(request)?;
    tools(request, family)?;
    match &request["input"] {
        Value::String(text) if !text.is_empty() => Ok(()),
        Value::Array(items) if !items.is_empty() => items::check(items),
        _ => wrong("input", "must not be empty"),
    }
}

fn text(request: &Value) -> Result<(), NativeRefusal> {
    let format = &request["text"]["format"];
    let is_valid = match format["type"].as_str() {
        None => format.is_null(),
        Some("text") => true,
        Some("json_schema") => {
            format["schema"].is_object() && is_name(format["name"].as_str().unwrap_or_default())
        }
        Some(_) => false,
    };
    match is_valid {
        true => Ok(()),
        false => Err(NativeRefusal::invalid(
            Some("text.format"),
            "'text.format': is not a JSON schema with a name",
        )),
    }
}

fn tools(request: &Value, family: &Family) -> Result<(), NativeRefusal> {
    let wrong = |param, text: &str| Err(NativeRefusal::invalid(Some(param), text));
    let tools = request["tools"].as_array();
    let choice = &request["tool_choice"];
    if tools.is_some_and(Vec::is_empty) || (tools.is_none() && !choice.is_null()) {
        return wrong("tools", "'tools': must not be empty");
    }
    if tools.is_some() && family.refuses("tools") {
        return wrong("tools", "'tools': is not supported with this model");
    }
    for tool in tools.into_iter().flatten() {
        check_namespace(tool)?;
    }
    for tool in items::declared(request) {
        let name = tool["name"].as_str().unwrap_or_default();
        if tool["type"] == "custom" {
            check_custom(tool, name)?;
            continue;
        }
        let is_function = tool["type"] == "function" && is_name(name);
        // Without `strict`, the schema would have to be a strict one.
        if !is_function || !tool["parameters"].is_object() || !tool["strict"].is_boolean() {
            return wrong(
                "tools",
                "'tools': a tool is not a function with a name, parameters and strict",
            );
        }
    }
    let is_known = match choice {
        Value::Null => true,
        Value::String(mode) => ["auto", "required", "none"].contains(&mode.as_str()),
        choice => {
            let mut tools = tools.into_iter().flatten();
            tools.any(|tool| tool["name"] == choice["name"] && tool["type"] == choice["type"])
        }
    };
    if !is_known || (!choice.is_null() && choice != "auto" && family.refuses("forced_choice")) {
        return wrong("tool_choice", "'tool_choice': is not supported");
    }
    Ok(())
}

/// Checks a group of tools. Any other tool passes.
fn check_namespace(tool: &Value) -> Result<(), NativeRefusal> {
    if tool["type"] != "namespace" {
        return Ok(());
    }
    let known = ["type", "name", "description", "tools"];
    let mut members = tool.as_object().into_iter().flat_map(|tool| tool.keys());
    let is_known = members.all(|member| known.contains(&member.as_str()));
    let name = tool["name"].as_str().unwrap_or_default();
    let is_free = !["functions", "web", "image_gen", "browser", "python"].contains(&name);
    let is_described = tool["description"]
        .as_str()
        .is_some_and(|text| !text.is_empty());
    let has_tools = tool["tools"]
        .as_array()
        .is_some_and(|tools| !tools.is_empty());
    match is_known && is_name(name) && is_free && is_described && has_tools {
        true => Ok(()),
        false => Err(NativeRefusal::invalid(
            Some("tools"),
            "'tools': a namespace needs a name that is not reserved, a description and tools",
        )),
    }
}

/// Checks a tool whose input is text.
fn check_custom(tool: &Value, name: &str) -> Result<(), NativeRefusal> {
    let known = ["type", "name", "description", "format"];
    let mut members = tool.as_object().into_iter().flat_map(|tool| tool.keys());
    let is_known = members.all(|member| known.contains(&member.as_str()));
    let format = &tool["format"];
    let is_format = match format["type"].as_str() {
        None => format.is_null(),
        Some("text") => true,
        Some("grammar") => {
            let is_syntax = ["lark", "regex"].contains(&format["syntax"].as_str().unwrap_or(""));
            is_syntax && format["definition"].is_string()
        }
        Some(_) => false,
    };
    match is_name(name) && is_known && is_format {
        true => Ok(()),
        false => Err(NativeRefusal::invalid(
            Some("tools"),
            "'tools': a custom tool needs a name, and a format of text or a grammar",
        )),
    }
}
