//! The items of the input. Each kind has exactly the members that the API reference names.

use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::NativeRefusal;

/// Returns the encrypted content of a reasoning item, which only a replay of the same item matches, in any order of members.
pub fn encrypted(id: &str, summary: &Value) -> String {
    let parts = summary.as_array().into_iter().flatten();
    let texts: Vec<&str> = parts.filter_map(|part| part["text"].as_str()).collect();
    hex::encode(Sha256::digest(format!("{id} {texts:?}")))
}

/// Returns all tools of a request, those in namespaces included.
pub fn declared(request: &Value) -> impl Iterator<Item = &Value> {
    let tools = request["tools"].as_array().into_iter().flatten();
    tools.flat_map(|tool| match tool["type"] == "namespace" {
        true => tool["tools"].as_array().map_or(&[][..], Vec::as_slice),
        false => std::slice::from_ref(tool),
    })
}

/// Returns the name by which the simulated model knows a tool. No tool can have a name with a dot.
pub fn full_name(namespace: &Value, name: &Value) -> String {
    let name = name.as_str().unwrap_or_default();
    match namespace.as_str() {
        Some(namespace) => format!("{namespace}.{name}"),
        None => name.to_owned(),
    }
}

/// Returns the namespace and the name of the tool that the simulated model knows as `full`.
pub fn resolved<'a>(request: &'a Value, full: &'a str) -> (Option<&'a str>, &'a str) {
    let tools = request["tools"].as_array().into_iter().flatten();
    for space in tools.filter(|tool| tool["type"] == "namespace") {
        let mut inner = space["tools"].as_array().into_iter().flatten();
        let found = inner.find(|tool| full_name(&space["name"], &tool["name"]) == full);
        if let Some(name) = found.and_then(|tool| tool["name"].as_str()) {
            return (space["name"].as_str(), name);
        }
    }
    (None, full)
}

/// Checks the items in their order: each call has one result, after it, and something follows reasoning.
///
/// # Errors
/// 400 with the item.
pub fn check(items: &[Value]) -> Result<(), NativeRefusal> {
    let mut open: Vec<&str> = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let wrong = |text: &str| {
            let text = format!("input[{index}]: {text}");
            Err(NativeRefusal::invalid(Some("input"), text))
        };
        let kind = item["type"].as_str().unwrap_or("message");
        let members: &[&str] = match kind {
            "message" => &["type", "role", "content"],
            "reasoning" => &[
                "type",
                "id",
                "summary",
                "content",
                "encrypted_content",
                "status",
            ],
            "function_call" => &["type", "call_id", "namespace", "name", "arguments"],
            "function_call_output" | "custom_tool_call_output" => &["type", "call_id", "output"],
            "custom_tool_call" => &["type", "call_id", "namespace", "name", "input"],
            _ => return wrong("the type is unknown"),
        };
        let has = item.as_object().into_iter().flat_map(|item| item.keys());
        if has
            .into_iter()
            .any(|name| !members.contains(&name.as_str()))
        {
            return wrong("a member is unknown");
        }
        let call_id = item["call_id"].as_str().unwrap_or_default();
        match kind {
            "message" if !is_message(item) => return wrong("the message is not valid"),
            "reasoning" => {
                let next = items.get(index + 1);
                let is_followed = next.is_some_and(|next| {
                    next["type"] == "function_call"
                        || next["type"] == "custom_tool_call"
                        || next["type"] == "reasoning"
                        || next["role"] == "assistant"
                });
                if !is_followed {
                    return wrong("'reasoning' was provided without its required following item");
                }
                let id = item["id"].as_str().unwrap_or_default();
                if item["encrypted_content"] != encrypted(id, &item["summary"]) {
                    return wrong("the encrypted content could not be verified");
                }
            }
            "custom_tool_call" => {
                if !item["input"].is_string() || !known.insert(call_id) {
                    return wrong("the input is not a text, or the call_id is repeated");
                }
                open.push(call_id);
            }
            "function_call" => {
                let arguments = item["arguments"].as_str().unwrap_or_default();
                let arguments: Option<Value> = serde_json::from_str(arguments).ok();
                if !arguments.is_some_and(|arguments| arguments.is_object()) {
                    return wrong("the arguments are not a JSON object");
                }
                if !is_name(item["name"].as_str().unwrap_or_default()) {
                    return wrong("the name is not valid");
                }
                if !(1..=64).contains(&call_id.len()) || !known.insert(call_id) {
                    return wrong("the call_id is missing, too long or repeated");
                }
                open.push(call_id);
            }
            "function_call_output" | "custom_tool_call_output" => {
                let Some(at) = open.iter().position(|open| *open == call_id) else {
                    return wrong("No tool call found for function call output");
                };
                open.remove(at);
                if !item["output"].is_string() {
                    return wrong("the output is not a text");
                }
            }
            _ => {}
        }
    }
    match open.first() {
        None => Ok(()),
        Some(call_id) => Err(NativeRefusal::invalid(
            Some("input"),
            format!("No tool output found for function call {call_id}."),
        )),
    }
}

/// Reports whether `name` can be one of a function.
pub fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_message(item: &Value) -> bool {
    let role = item["role"].as_str().unwrap_or_default();
    let is_part = |part: &Value| match part["type"].as_str() {
        Some("output_text") => role == "assistant" && part["text"].is_string(),
        Some("input_text") => role != "assistant" && part["text"].is_string(),
        // Addresses are refused.
        Some("input_image") => {
            let url = part["image_url"].as_str();
            let is_data = url.is_some_and(|url| url.starts_with("data:image/"));
            role == "user" && is_data && part["detail"].is_string()
        }
        _ => false,
    };
    let is_content = match &item["content"] {
        Value::String(text) => !text.is_empty(),
        Value::Array(parts) => !parts.is_empty() && parts.iter().all(is_part),
        _ => false,
    };
    ["user", "assistant", "system", "developer"].contains(&role) && is_content
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The model called the wrong one of the two.
    #[test]
    fn tool_in_a_namespace_differs_from_a_tool_of_the_joined_name() {
        let inner = json!([{"type": "function", "name": "sleep"}]);
        let space = json!({"type": "namespace", "name": "clock", "tools": inner});
        let plain = json!({"type": "function", "name": "clock__sleep"});
        let request = json!({"tools": [space, plain]});
        let full = full_name(&"clock".into(), &"sleep".into());
        assert_eq!(resolved(&request, &full), (Some("clock"), "sleep"));
        assert_eq!(resolved(&request, "clock__sleep"), (None, "clock__sleep"));
    }
}
