//! Checks that do not depend on the model: ranges, required members, and members that no model supports.

use super::check_tools::{MAX_DEPTH, depth, name, schema, too_deep, tools};
use crate::{
    edge::body::within,
    error::Error,
    openai::{
        chat::ChatRequest,
        message::{Content, Message, Part, Role},
    },
};

/// Validates a request.
///
/// # Errors
/// 400 with the invalid member.
pub fn validate(request: &ChatRequest) -> Result<(), Error> {
    ranges(request)?;
    unsupported(request)?;
    if request.messages.is_empty() {
        return Err(Error::invalid(
            "messages",
            "'messages' must contain at least one message.",
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
    within(
        "top_logprobs",
        request.top_logprobs.map(f64::from),
        0.0,
        20.0,
    )?;
    // Bedrock's integers are signed and have 32 bits.
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
    if request
        .safety_identifier
        .as_ref()
        .is_some_and(|id| id.chars().count() > 64)
    {
        return Err(Error::invalid(
            "safety_identifier",
            "'safety_identifier' may have at most 64 characters.",
        ));
    }
    for (key, value) in request.metadata.iter().flatten() {
        if key.is_empty() || key.chars().count() > 64 || value.chars().count() > 512 {
            return Err(Error::invalid(
                "metadata",
                "Keys of 'metadata' must have 1 to 64 characters, and values at most 512.",
            ));
        }
    }
    Ok(())
}

/// Rejects members that would change the meaning of the answer if they were dropped.
fn unsupported(request: &ChatRequest) -> Result<(), Error> {
    let reject = |param: &'static str, why: &'static str| {
        Err(
            Error::invalid(param, format!("'{param}' is not supported here: {why}."))
                .with_code("unsupported_parameter"),
        )
    };
    if request.top_logprobs.is_some_and(|n| n > 0) && request.logprobs != Some(true) {
        return Err(Error::invalid(
            "top_logprobs",
            "'top_logprobs' needs 'logprobs': true.",
        ));
    }
    if request
        .logit_bias
        .as_ref()
        .is_some_and(|bias| !bias.is_empty())
    {
        return reject("logit_bias", "Bedrock's Converse API has no such parameter");
    }
    let modalities = request.modalities.as_deref().unwrap_or_default();
    if modalities.iter().any(|m| m == "audio") || request.audio.is_some() {
        return reject("audio", "Bedrock's Converse API returns no audio");
    }
    if let Some(format) = &request.response_format {
        match (format.kind.as_str(), &format.json_schema) {
            ("text" | "json_object", _) => {}
            ("json_schema", Some(json_schema)) => {
                schema(json_schema, "response_format.json_schema")?;
            }
            ("json_schema", None) => {
                return Err(Error::invalid(
                    "response_format.json_schema",
                    "A response format of type 'json_schema' needs 'json_schema'.",
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
        Some(_) => reject("moderation", "set 'bedrock.guardrail' instead"),
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
            "'audio' is not supported, because this gateway never returns audio to refer to.",
        ));
    }
    // An empty assistant message is an aborted answer, which is dropped later.
    let may_be_empty = matches!(role, Role::Function | Role::Assistant);
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
    if message.images.is_some() && role != Role::Assistant {
        return Err(Error::invalid(
            at("images"),
            "'images' is not supported here: send images as content parts of the type 'image_url'.",
        )
        .with_code("unsupported_parameter"));
    }
    tool_calls(message, &at)?;
    function_call(message, &at)?;
    server_tool_blocks(message, &at)?;
    match &message.content {
        Some(Content::Parts(parts)) => check_parts(parts, role, &format!("messages[{index}]")),
        _ => Ok(()),
    }
}

/// Checks that the role allows the type of the part: text anywhere, media in user and tool messages, reasoning and tool
/// calls in assistant messages. Whether the model supports the media is checked later.
fn check_part(part: &Part, role: Role, at: &str) -> Result<(), Error> {
    let allows_media = matches!(role, Role::User | Role::Tool);
    let assistant = role == Role::Assistant;
    let needs = |member: &str, present: bool| match present {
        true => Ok(()),
        false => Err(Error::invalid(
            format!("{at}.{member}"),
            format!("A part of type '{}' needs '{member}'.", part.kind),
        )),
    };
    match part.kind.as_str() {
        "text" => needs("text", part.text.is_some()),
        "refusal" if assistant => needs("refusal", part.refusal.is_some()),
        "" if part.cache_point.is_some() => Ok(()),
        "image_url" if allows_media => needs("image_url", part.image_url.is_some()),
        "video_url" if allows_media => needs("video_url", part.video_url.is_some()),
        "input_audio" if allows_media => needs("input_audio", part.input_audio.is_some()),
        "file" if allows_media => needs("file", part.file.is_some()),
        "search_result" if allows_media => needs("search_result", part.search_result.is_some()),
        "thinking" if assistant => needs("thinking", part.thinking.is_some()),
        "redacted_thinking" if assistant => needs("data", part.data.is_some()),
        "tool_use" if assistant => tool_use(part, at, needs),
        "tool_result" if role == Role::User => {
            needs(
                "tool_use_id",
                part.tool_use_id.as_deref().is_some_and(|id| !id.is_empty()),
            )?;
            match &part.content {
                Some(Content::Parts(parts)) => check_parts(parts, Role::Tool, at),
                _ => Ok(()),
            }
        }
        kind => {
            let kind: String = kind.chars().take(40).collect();
            Err(Error::invalid(
                format!("{at}.type"),
                format!(
                    "A content part of type '{kind}' is not supported in a message of role '{}'.",
                    role.as_str()
                ),
            ))
        }
    }
}

fn check_parts(parts: &[Part], role: Role, at: &str) -> Result<(), Error> {
    let mut parts = (0..).zip(parts);
    parts.try_for_each(|(nth, part): (usize, _)| {
        check_part(part, role, &format!("{at}.content[{nth}]"))
    })
}

fn tool_use(
    part: &Part,
    at: &str,
    needs: impl Fn(&str, bool) -> Result<(), Error>,
) -> Result<(), Error> {
    needs("id", part.id.as_deref().is_some_and(|id| !id.is_empty()))?;
    needs("name", part.name.is_some())?;
    name(part.name.as_deref().unwrap_or_default(), || {
        format!("{at}.name")
    })?;
    let input = part.input.as_deref().map_or("{}", |input| input.get());
    match input.starts_with('{') {
        true if depth(input) > MAX_DEPTH => Err(too_deep(format!("{at}.input"))),
        true => Ok(()),
        false => Err(Error::invalid(
            format!("{at}.input"),
            "'input' must be an object.",
        )),
    }
}

fn tool_calls(message: &Message, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    let calls = message.tool_calls.as_deref().unwrap_or_default();
    for (index, call) in calls.iter().enumerate() {
        let at = |member: &str| at(&format!("tool_calls[{index}].{member}"));
        if call.id.is_empty() {
            return Err(Error::invalid(
                at("id"),
                "A tool call needs an 'id', to which the message with its result refers.",
            ));
        }
        if let Some(custom) = &call.custom {
            name(&custom.name, || at("custom.name"))?;
            continue;
        }
        let Some(function) = &call.function else {
            return Err(Error::invalid(
                at("function"),
                "A tool call needs the member 'function' or 'custom'.",
            ));
        };
        name(&function.name, || at("function.name"))?;
        if depth(&function.arguments) > MAX_DEPTH {
            return Err(too_deep(at("function.arguments")));
        }
    }
    Ok(())
}

/// Checks the legacy form of a tool call.
fn function_call(message: &Message, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    let Some(call) = &message.function_call else {
        return Ok(());
    };
    if message.role != Role::Assistant {
        return Err(Error::invalid(
            at("function_call"),
            "Only an assistant message may have 'function_call'.",
        ));
    }
    name(&call.name, || at("function_call.name"))?;
    match depth(&call.arguments) > MAX_DEPTH {
        true => Err(too_deep(at("function_call.arguments"))),
        false => Ok(()),
    }
}

/// Checks blocks that the client sends back from an earlier answer. Rejects blocks that cannot come from Bedrock, because
/// Bedrock's error would be less clear.
fn server_tool_blocks(message: &Message, at: &impl Fn(&str) -> String) -> Result<(), Error> {
    let blocks = message.server_tool_blocks.as_deref().unwrap_or_default();
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
                return wrong(
                    "A block must contain either 'toolUse' or 'toolResult', unchanged from the answer.",
                );
            }
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        if !(1..=64).contains(&id.len()) || !id.bytes().all(plain) {
            return wrong("'toolUseId' is not a valid Bedrock tool use ID.");
        }
        if json.iter().any(|json| depth(json.get()) > MAX_DEPTH) {
            return Err(too_deep(at));
        }
    }
    Ok(())
}
