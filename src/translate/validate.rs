//! What can be said of a request without knowing its model: ranges, and members that no model can honour.

use super::tools::WEB_SEARCH;
use crate::{
    call::NanoUsd,
    error::Error,
    openai::{
        chat::{ChatRequest, Function, JsonSchema},
        knowledge_base::FILE_SEARCH,
        message::{Content, Message, Part, Role},
    },
};

/// More than any real conversation; bounds the work that one request can cause.
const MAX_MESSAGES: usize = 10_000;

/// OpenAI's own cap on tools; also for the calls of one message.
const MAX_TOOLS: usize = 128;

/// Content parts of one message.
const MAX_PARTS: usize = 10_000;

/// Characters of the name of a tool.
const MAX_NAME: usize = 256;

/// Bytes of one schema: it may be parsed and changed, which takes time.
const MAX_SCHEMA: usize = 512 * 1024;

/// Nesting of client JSON that is carried as it is (schemas). serde_json refuses deeper text only where it parses it.
const MAX_DEPTH: usize = 128;

/// Accepts a request, or says which field is wrong.
///
/// # Errors
/// A 400 with `param`.
pub fn validate(request: &ChatRequest) -> Result<(), Error> {
    ranges(request)?;
    unsupported(request)?;
    if request
        .max_cost_usd
        .as_deref()
        .is_some_and(|text| NanoUsd::parse(text.get()).is_none())
    {
        let text =
            "'max_cost_usd' must be a number of US dollars with nine decimal places at most.";
        return Err(Error::invalid("max_cost_usd", text));
    }
    if request.messages.is_empty() {
        return Err(Error::invalid(
            "messages",
            "'messages' must hold at least one message.",
        ));
    }
    if request.messages.len() > MAX_MESSAGES {
        return Err(Error::invalid(
            "messages",
            format!("'messages' may hold {MAX_MESSAGES} messages at most."),
        ));
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
    within(
        "top_logprobs",
        request.top_logprobs.map(f64::from),
        0.0,
        20.0,
    )?;
    within(
        "top_k",
        request.top_k.map(f64::from),
        1.0,
        f64::from(i32::MAX),
    )?;
    for bias in request.logit_bias.iter().flatten() {
        within("logit_bias", Some(*bias.1), -100.0, 100.0)?;
    }
    within(
        "max_tokens",
        request.max_tokens.map(f64::from),
        1.0,
        f64::from(i32::MAX),
    )?;
    within(
        "max_completion_tokens",
        request.max_completion_tokens.map(f64::from),
        1.0,
        f64::from(i32::MAX),
    )?;
    if request.stop.as_ref().is_some_and(|stop| stop.0.len() > 4) {
        return Err(Error::invalid(
            "stop",
            "'stop' may hold 4 sequences at most.",
        ));
    }
    if request
        .safety_identifier
        .as_ref()
        .is_some_and(|id| id.chars().count() > 64)
    {
        return Err(Error::invalid(
            "safety_identifier",
            "'safety_identifier' may have 64 characters at most.",
        ));
    }
    if let Some(metadata) = &request.metadata {
        if metadata.len() > 16 {
            return Err(Error::invalid(
                "metadata",
                "'metadata' may hold 16 pairs at most.",
            ));
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
        Some(value) if !(min..=max).contains(&value) => Err(Error::invalid(
            param,
            format!("'{param}' must be between {min} and {max}."),
        )),
        _ => Ok(()),
    }
}

/// What would change the meaning of the answer if it were left out in silence.
fn unsupported(request: &ChatRequest) -> Result<(), Error> {
    let refused = |param: &'static str, why: &'static str| {
        Err(
            Error::invalid(param, format!("'{param}' is not supported here: {why}."))
                .with_code("unsupported_parameter"),
        )
    };
    if request.logprobs == Some(true) || request.top_logprobs.is_some_and(|n| n > 0) {
        return refused("logprobs", "Bedrock's Converse returns none");
    }
    if request
        .logit_bias
        .as_ref()
        .is_some_and(|bias| !bias.is_empty())
    {
        return refused("logit_bias", "Bedrock's Converse has no such parameter");
    }
    let modalities = request.modalities.as_deref().unwrap_or_default();
    if modalities.iter().any(|m| m == "audio") || request.audio.is_some() {
        return refused("audio", "Bedrock's Converse returns no audio");
    }
    if let Some(format) = &request.response_format {
        match (format.kind.as_str(), &format.json_schema) {
            ("text" | "json_object", _) => {}
            ("json_schema", Some(wanted)) => schema(wanted)?,
            ("json_schema", None) => {
                return Err(Error::invalid(
                    "response_format.json_schema",
                    "A format of type 'json_schema' needs it.",
                ));
            }
            _ => {
                return Err(Error::invalid(
                    "response_format.type",
                    "'type' must be 'text', 'json_schema' or 'json_object'.",
                ));
            }
        }
    }
    match request.moderation {
        Some(_) => refused("moderation", "name a guardrail in 'bedrock'"),
        None => Ok(()),
    }
}

fn check_message(message: &Message, index: usize) -> Result<(), Error> {
    let role = message.role;
    let at = |member: &str| format!("messages[{index}].{member}");
    let calls = message
        .tool_calls
        .as_ref()
        .is_some_and(|calls| !calls.is_empty());
    if role == Role::Function && message.name.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::invalid(
            at("name"),
            "A message of role 'function' needs 'name'.",
        ));
    }
    if message.audio.is_some() {
        return Err(Error::invalid(
            at("audio"),
            "No audio was ever issued here, so there is none to refer to.",
        ));
    }
    let assistant_may = calls || message.refusal.is_some() || message.function_call.is_some();
    let may_be_empty = role == Role::Function || (role == Role::Assistant && assistant_may);
    if message.content.is_none() && !may_be_empty {
        return Err(Error::invalid(
            at("content"),
            format!("A message of role '{}' needs 'content'.", role.as_str()),
        ));
    }
    if role == Role::Tool
        && message
            .tool_call_id
            .as_deref()
            .unwrap_or_default()
            .is_empty()
    {
        return Err(Error::invalid(
            at("tool_call_id"),
            "A message of role 'tool' needs 'tool_call_id'.",
        ));
    }
    if calls && role != Role::Assistant {
        return Err(Error::invalid(
            at("tool_calls"),
            "Only an assistant message may have 'tool_calls'.",
        ));
    }
    tool_calls(message, &at)?;
    server_tool_blocks(message, &at)?;
    let Some(Content::Parts(parts)) = &message.content else {
        return Ok(());
    };
    if parts.len() > MAX_PARTS {
        return Err(Error::invalid(
            at("content"),
            format!("'content' may hold {MAX_PARTS} parts at most."),
        ));
    }
    parts
        .iter()
        .enumerate()
        .try_for_each(|(nth, part)| check_part(part, role, &at(&format!("content[{nth}]"))))
}

/// Text anywhere; media where the service takes them. What the media are is looked at with the model in hand.
fn check_part(part: &Part, role: Role, at: &str) -> Result<(), Error> {
    let present = match part.kind.as_str() {
        "text" => part.text.is_some(),
        "refusal" if role == Role::Assistant => part.refusal.is_some(),
        "" if part.cache_point.is_some() => true,
        "image_url" | "file" | "video_url" | "input_audio" | "search_result"
            if matches!(role, Role::User | Role::Tool) =>
        {
            return Ok(());
        }
        kind => {
            let kind: String = kind.chars().take(40).collect();
            return Err(Error::invalid(
                format!("{at}.type"),
                format!(
                    "A content part of type '{kind}' is not supported in a message of role '{}'.",
                    role.as_str()
                ),
            ));
        }
    };
    match present {
        true => Ok(()),
        false => Err(Error::invalid(
            format!("{at}.{}", part.kind),
            format!("A part of type '{0}' needs '{0}'.", part.kind),
        )),
    }
}

fn tool_calls(message: &Message, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    if calls.len() > MAX_TOOLS {
        return Err(Error::invalid(
            at("tool_calls"),
            format!("'tool_calls' may hold {MAX_TOOLS} calls at most."),
        ));
    }
    for (index, call) in calls.iter().enumerate() {
        let at = |member: &str| at(&format!("tool_calls[{index}].{member}"));
        if let Some(custom) = &call.custom {
            name(&custom.name, || at("custom.name"))?;
            continue;
        }
        let Some(function) = &call.function else {
            return Err(Error::invalid(
                at("function"),
                "A call is of type 'function' or 'custom', and has that member.",
            ));
        };
        name(&function.name, || at("function.name"))?;
        if depth(&function.arguments) > MAX_DEPTH {
            return Err(too_deep(at("function.arguments")));
        }
    }
    Ok(())
}

/// Blocks that this gateway gave out: what could not have come from there is refused here, not by Bedrock.
fn server_tool_blocks(message: &Message, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    let blocks = message.server_tool_blocks.as_deref().unwrap_or_default();
    if blocks.len() > MAX_TOOLS {
        return Err(Error::invalid(
            at("server_tool_blocks"),
            format!("There may be {MAX_TOOLS} blocks at most."),
        ));
    }
    for (index, block) in blocks.iter().enumerate() {
        let at = at(&format!("server_tool_blocks[{index}]"));
        let wrong = |why: &'static str| Err(Error::invalid(at.clone(), why));
        let (id, json) = match (&block.tool_use, &block.tool_result) {
            (Some(call), None) if !call.input.get().starts_with('{') => {
                return wrong("'input' must be an object.");
            }
            (Some(call), None) => (&call.tool_use_id, vec![&call.input]),
            (None, Some(result)) => (
                &result.tool_use_id,
                result
                    .content
                    .iter()
                    .filter_map(|content| content.json.as_ref())
                    .collect(),
            ),
            _ => {
                return wrong("A block holds 'toolUse' or 'toolResult', as it came in the answer.");
            }
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        if !(1..=64).contains(&id.len()) || !id.bytes().all(plain) {
            return wrong("'toolUseId' is not one that Bedrock gives.");
        }
        if json.iter().any(|json| depth(json.get()) > MAX_DEPTH) {
            return Err(too_deep(at));
        }
    }
    Ok(())
}

/// Any name will do, it is mended where the service wants another; an absurd one is a mistake.
fn name(name: &str, param: impl FnOnce() -> String) -> Result<(), Error> {
    match (1..=MAX_NAME).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(Error::invalid(
            param(),
            format!("A name of a tool has 1 to {MAX_NAME} characters."),
        )),
    }
}

fn too_deep(param: String) -> Error {
    Error::invalid(
        param,
        format!("JSON may be nested {MAX_DEPTH} levels deep at most."),
    )
}

fn tools(request: &ChatRequest) -> Result<(), Error> {
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
fn schema(wanted: &JsonSchema) -> Result<(), Error> {
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
