//! The form of a chat completions request. Unknown members are refused, because a real server may ignore them.

use serde_json::Value;

use super::NativeRefusal;

const MEMBERS: [&str; 23] = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "n",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "verbosity",
    "store",
    "stream",
    "stream_options",
];

/// Checks a request.
///
/// # Errors
/// 400 with the member.
pub fn check(request: &Value) -> Result<(), NativeRefusal> {
    let wrong =
        |param: &str, text: &str| Err(NativeRefusal::invalid(None, format!("'{param}': {text}")));
    let Some(members) = request.as_object() else {
        return wrong("body", "must be an object");
    };
    if let Some(unknown) = members
        .keys()
        .find(|name| !MEMBERS.contains(&name.as_str()))
    {
        return wrong(unknown, "Unrecognized request argument supplied");
    }
    if members.values().any(Value::is_null) {
        return wrong("body", "a member is null");
    }
    if request.get("n").is_some_and(|n| n != 1) {
        return wrong("n", "must be 1");
    }
    if request["store"] == true {
        return wrong("store", "the gateway must not store answers unless asked");
    }
    if request["stream"] == true && request["stream_options"]["include_usage"] != true {
        return wrong("stream_options", "without usage nothing can be booked");
    }
    let temperature = request["temperature"].as_f64();
    if temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return wrong("temperature", "must be from 0 to 2");
    }
    let tools = request["tools"].as_array();
    if tools.is_some_and(Vec::is_empty) || (tools.is_none() && !request["tool_choice"].is_null()) {
        return wrong("tools", "must not be empty");
    }
    for tool in tools.into_iter().flatten() {
        let function = &tool["function"];
        let name = function["name"].as_str().unwrap_or_default();
        if tool["type"] != "function" || !is_name(name) || !function["parameters"].is_object() {
            return wrong(
                "tools",
                "a tool is not a function with a name and parameters",
            );
        }
    }
    if request["response_format"]["type"] == "json_schema"
        && !request["response_format"]["json_schema"]["schema"].is_object()
    {
        return wrong("response_format", "the schema is missing");
    }
    match request["messages"].as_array() {
        Some(messages) if !messages.is_empty() => conversation(messages),
        _ => wrong("messages", "must not be empty"),
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Checks the messages. Every call must be followed by its result, before any other message.
fn conversation(messages: &[Value]) -> Result<(), NativeRefusal> {
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let wrong = |text: &str| {
            Err(NativeRefusal::invalid(
                None,
                format!("messages[{index}]: {text}"),
            ))
        };
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(at) = open.iter().position(|open| *open == id) else {
                return wrong("a result has no preceding call");
            };
            open.remove(at);
        } else if !open.is_empty() {
            return wrong(
                "an assistant message with 'tool_calls' must be followed by tool messages",
            );
        }
        match role {
            "system" | "user" | "tool" if !is_content(&message["content"]) => {
                return wrong("the content is not valid");
            }
            "system" | "user" | "tool" => {}
            "assistant" => {
                let calls = message["tool_calls"].as_array().into_iter().flatten();
                for call in calls {
                    let function = &call["function"];
                    let arguments = function["arguments"].as_str().unwrap_or_default();
                    let arguments: Option<Value> = serde_json::from_str(arguments).ok();
                    let is_object = arguments.is_some_and(|arguments| arguments.is_object());
                    if !is_object || !is_name(function["name"].as_str().unwrap_or_default()) {
                        return wrong("the arguments of a call are not a JSON object");
                    }
                    let id = call["id"].as_str().unwrap_or_default();
                    if id.is_empty() || open.contains(&id) {
                        return wrong("the id of a call is missing or repeated");
                    }
                    open.push(id);
                }
                if open.is_empty() && !is_content(&message["content"]) {
                    return wrong("an assistant message needs content or calls");
                }
            }
            _ => return wrong("the role is unknown"),
        }
    }
    match open.is_empty() {
        true => Ok(()),
        false => Err(NativeRefusal::invalid(
            Some("messages"),
            "a call has no result",
        )),
    }
}

fn is_content(content: &Value) -> bool {
    match content {
        Value::String(_) => true,
        Value::Array(parts) => !parts.is_empty() && parts.iter().all(is_part),
        _ => false,
    }
}

fn is_part(part: &Value) -> bool {
    match part["type"].as_str() {
        Some("text") => part["text"].is_string(),
        // Addresses are refused.
        Some("image_url") => {
            let url = part["image_url"]["url"].as_str();
            url.is_some_and(|url| url.starts_with("data:image/"))
        }
        _ => false,
    }
}
