//! What can be said of a request without knowing its model: ranges, and members that no model can honour.

use crate::{
    error::Error,
    openai::chat::{ChatRequest, Content, Message, Role},
};

/// More than any real conversation; bounds the work that one request can cause.
const MAX_MESSAGES: usize = 10_000;

/// OpenAI's own cap on tools; also for the calls of one message.
const MAX_TOOLS: usize = 128;

/// Content parts of one message.
const MAX_PARTS: usize = 10_000;

/// Nesting of client JSON that is carried as it is (schemas). serde_json refuses deeper text only where it parses it.
const MAX_DEPTH: usize = 128;

/// Accepts a request, or says which field is wrong.
///
/// # Errors
/// A 400 with `param`.
pub fn validate(request: &ChatRequest) -> Result<(), Error> {
    ranges(request)?;
    unsupported(request)?;
    if request.messages.is_empty() {
        return Err(Error::invalid("messages", "'messages' must hold at least one message."));
    }
    if request.messages.len() > MAX_MESSAGES {
        return Err(Error::invalid("messages", format!("'messages' may hold {MAX_MESSAGES} messages at most.")));
    }
    for (index, message) in request.messages.iter().enumerate() {
        check_message(message, index)?;
    }
    tools(request)
}

fn ranges(request: &ChatRequest) -> Result<(), Error> {
    within("temperature", request.temperature, 0.0, 2.0)?;
    within("top_p", request.top_p, 0.0, 1.0)?;
    within("frequency_penalty", request.frequency_penalty, -2.0, 2.0)?;
    within("presence_penalty", request.presence_penalty, -2.0, 2.0)?;
    within("n", request.n.map(f64::from), 1.0, 128.0)?;
    // The service's integers are 32 bits, signed.
    within("max_tokens", request.max_tokens.map(f64::from), 1.0, f64::from(i32::MAX))?;
    within("max_completion_tokens", request.max_completion_tokens.map(f64::from), 1.0, f64::from(i32::MAX))?;
    if request.stop.as_ref().is_some_and(|stop| stop.0.len() > 4) {
        return Err(Error::invalid("stop", "'stop' may hold 4 sequences at most."));
    }
    if request.safety_identifier.as_ref().is_some_and(|id| id.chars().count() > 64) {
        return Err(Error::invalid("safety_identifier", "'safety_identifier' may have 64 characters at most."));
    }
    if let Some(metadata) = &request.metadata {
        if metadata.len() > 16 {
            return Err(Error::invalid("metadata", "'metadata' may hold 16 pairs at most."));
        }
        for (key, value) in metadata {
            if key.is_empty() || key.chars().count() > 64 || value.chars().count() > 512 {
                return Err(Error::invalid(
                    "metadata",
                    "A key of 'metadata' has 1 to 64 characters and a value 512 at most.",
                ));
            }
        }
    }
    Ok(())
}

fn within(param: &'static str, value: Option<f64>, min: f64, max: f64) -> Result<(), Error> {
    match value {
        Some(value) if !(min..=max).contains(&value) => {
            Err(Error::invalid(param, format!("'{param}' must be between {min} and {max}.")))
        }
        _ => Ok(()),
    }
}

/// What would change the meaning of the answer if it were left out in silence.
fn unsupported(request: &ChatRequest) -> Result<(), Error> {
    let refused = |param: &'static str, why: &'static str| {
        Err(Error::invalid(param, format!("'{param}' is not supported here: {why}."))
            .with_code("unsupported_parameter"))
    };
    if request.n.is_some_and(|n| n > 1) {
        return refused("n", "this version of lintel answers with one choice");
    }
    if request.logprobs == Some(true) || request.top_logprobs.is_some_and(|n| n > 0) {
        return refused("logprobs", "Bedrock's Converse returns none");
    }
    if request.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()) {
        return refused("logit_bias", "Bedrock's Converse has no such parameter");
    }
    let modalities = request.modalities.as_deref().unwrap_or_default();
    if modalities.iter().any(|m| m == "audio") || request.audio.is_some() {
        return refused("audio", "Bedrock's Converse returns no audio");
    }
    if let Some(format) = &request.response_format
        && format.kind != "text"
    {
        return refused(
            "response_format",
            "this version of lintel answers with text only; use a tool for structured output",
        );
    }
    let members = [
        ("web_search_options", request.web_search_options.is_some(), "there is no web search behind this gateway"),
        ("functions", request.functions.is_some(), "use 'tools'"),
        ("function_call", request.function_call.is_some(), "use 'tool_choice'"),
        ("kb", request.kb.is_some(), "this version of lintel has no knowledge bases"),
        ("bedrock", request.bedrock.is_some(), "this version of lintel has no Bedrock extensions"),
        ("max_cost_usd", request.max_cost_usd.is_some(), "this version of lintel has no budgets"),
    ];
    match members.into_iter().find(|(_, present, _)| *present) {
        Some((param, _, why)) => refused(param, why),
        None => Ok(()),
    }
}

fn check_message(message: &Message, index: usize) -> Result<(), Error> {
    let role = message.role;
    let at = |member: &str| format!("messages[{index}].{member}");
    let calls = message.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
    if role == Role::Function || message.function_call.is_some() {
        return Err(Error::invalid(at("role"), "The legacy 'function' role is not supported; use 'tool' messages."));
    }
    if message.audio.is_some() {
        return Err(Error::invalid(at("audio"), "No audio was ever issued here, so there is none to refer to."));
    }
    let may_be_empty = role == Role::Assistant && (calls || message.refusal.is_some());
    if message.content.is_none() && !may_be_empty {
        return Err(Error::invalid(at("content"), format!("A message of role '{}' needs 'content'.", role.as_str())));
    }
    if role == Role::Tool && message.tool_call_id.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::invalid(at("tool_call_id"), "A message of role 'tool' needs 'tool_call_id'."));
    }
    if calls && role != Role::Assistant {
        return Err(Error::invalid(at("tool_calls"), "Only an assistant message may have 'tool_calls'."));
    }
    tool_calls(message, &at)?;
    let Some(Content::Parts(parts)) = &message.content else { return Ok(()) };
    if parts.len() > MAX_PARTS {
        return Err(Error::invalid(at("content"), format!("'content' may hold {MAX_PARTS} parts at most.")));
    }
    for (part, content) in parts.iter().enumerate() {
        let text = match content.kind.as_str() {
            "text" => content.text.is_some(),
            "refusal" if role == Role::Assistant => content.refusal.is_some(),
            kind => {
                let kind: String = kind.chars().take(40).collect();
                return Err(Error::invalid(
                    at(&format!("content[{part}].type")),
                    format!(
                        "A content part of type '{kind}' is not supported in a message of role '{}'.",
                        role.as_str()
                    ),
                ));
            }
        };
        if !text {
            return Err(Error::invalid(
                at(&format!("content[{part}].{}", content.kind)),
                format!("A part of type '{0}' needs '{0}'.", content.kind),
            ));
        }
    }
    Ok(())
}

fn tool_calls(message: &Message, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    if calls.len() > MAX_TOOLS {
        return Err(Error::invalid(at("tool_calls"), format!("'tool_calls' may hold {MAX_TOOLS} calls at most.")));
    }
    for (index, call) in calls.iter().enumerate() {
        let at = |member: &str| at(&format!("tool_calls[{index}].{member}"));
        let Some(function) = &call.function else {
            return Err(Error::invalid(at("function"), "Only calls of type 'function' are supported."));
        };
        function_name(&function.name, || at("function.name"))?;
        if depth(&function.arguments) > MAX_DEPTH {
            return Err(too_deep(at("function.arguments")));
        }
    }
    Ok(())
}

/// The service model's ToolName.
fn function_name(name: &str, param: impl FnOnce() -> String) -> Result<(), Error> {
    let fits =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if fits {
        return Ok(());
    }
    Err(Error::invalid(param(), "A function name has 1 to 64 letters, digits, underscores or hyphens."))
}

fn too_deep(param: String) -> Error {
    Error::invalid(param, format!("JSON may be nested {MAX_DEPTH} levels deep at most."))
}

fn tools(request: &ChatRequest) -> Result<(), Error> {
    if request.tools.as_ref().is_some_and(|tools| tools.len() > MAX_TOOLS) {
        return Err(Error::invalid("tools", format!("'tools' may hold {MAX_TOOLS} tools at most.")));
    }
    for (index, tool) in request.tools.iter().flatten().enumerate() {
        let at = |member: &str| format!("tools[{index}].{member}");
        let Some(function) = tool.function.as_ref().filter(|_| tool.kind == "function") else {
            return Err(Error::invalid(at("type"), "Only tools of type 'function' are supported."));
        };
        function_name(&function.name, || at("function.name"))?;
        if let Some(schema) = &function.parameters {
            if !schema.get().starts_with('{') {
                return Err(Error::invalid(at("function.parameters"), "'parameters' must be a JSON schema object."));
            }
            if depth(schema.get()) > MAX_DEPTH {
                return Err(too_deep(at("function.parameters")));
            }
        }
    }
    Ok(())
}

/// The nesting of JSON text. Of text that is not JSON it is no more than an upper bound of what a parser would meet.
fn depth(json: &str) -> usize {
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
