//! Converts options: ranges, reasoning, the format of the text, and members that are not supported.

use crate::{
    call::Warnings,
    edge::{body::within, dialect::chat_completions::check_tools},
    error::Error,
    openai::{
        chat::{JsonSchema, ResponseFormat},
        responses::served::{ReasoningOptions, Request, TextFormat},
    },
    operation::chat::{Amount, ReasoningRequest, SCALE},
};

/// Validates the members whose rules do not depend on others.
///
/// # Errors
/// 400 with the invalid member, or with one without which the answer would be wrong.
pub fn check(request: &Request, warnings: &Warnings) -> Result<(), Error> {
    within("temperature", request.temperature, 0.0, 2.0)?;
    within("top_p", request.top_p, 0.0, 1.0)?;
    within(
        "max_output_tokens",
        request.max_output_tokens.map(f64::from),
        1.0,
        f64::from(i32::MAX),
    )?;
    let long = |text: &Option<String>| text.as_ref().is_some_and(|id| id.chars().count() > 64);
    if long(&request.safety_identifier) {
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
    unsupported(request)?;
    if request.truncation.as_deref() == Some("auto") {
        warnings.add("truncation: 'auto' was sent as 'disabled' (the gateway does not shorten the input; one that is too long is rejected)");
    }
    let logprobs = "message.output_text.logprobs";
    if request.include.iter().flatten().any(|one| one == logprobs) {
        warnings.add(format!(
            "include: '{logprobs}' was ignored (Bedrock returns no log probabilities)"
        ));
    }
    Ok(())
}

fn unsupported(request: &Request) -> Result<(), Error> {
    let members = [
        (
            "conversation",
            request.conversation.is_some(),
            "send the conversation as 'input'",
        ),
        (
            "prompt",
            request.prompt.is_some(),
            "send the text of the prompt as 'instructions'",
        ),
        (
            "background",
            request.background == Some(true),
            "the gateway runs no responses in the background, so send the request with 'stream'",
        ),
        (
            "top_logprobs",
            request.top_logprobs.is_some_and(|count| count > 0),
            "Bedrock returns no log probabilities",
        ),
        (
            "moderation",
            request.moderation.is_some(),
            "set 'bedrock.guardrail' instead",
        ),
        (
            "messages",
            request.messages.is_some(),
            "send the conversation as 'input', or to /v1/chat/completions",
        ),
        (
            "response_format",
            request.response_format.is_some(),
            "send 'text.format'",
        ),
        (
            "max_tokens",
            request.max_tokens.is_some(),
            "send 'max_output_tokens'",
        ),
        (
            "max_completion_tokens",
            request.max_completion_tokens.is_some(),
            "send 'max_output_tokens'",
        ),
        ("functions", request.functions.is_some(), "send 'tools'"),
    ];
    if let Some((param, _, advice)) = members.into_iter().find(|(_, is_set, _)| *is_set) {
        return Err(
            Error::invalid(param, format!("'{param}' is not supported here: {advice}."))
                .with_code("unsupported_parameter"),
        );
    }
    Ok(())
}

/// Returns the reasoning that the client requests, or `None` if it leaves that to the model.
///
/// # Errors
/// 400 if the effort is unknown.
pub fn reasoning(options: &ReasoningOptions) -> Result<Option<ReasoningRequest>, Error> {
    let Some(effort) = options.effort.as_deref() else {
        return Ok(None);
    };
    match SCALE.iter().find(|known| **known == effort) {
        Some(effort) => Ok(Some(ReasoningRequest {
            param: "reasoning.effort",
            amount: Amount::Effort(effort),
        })),
        None => Err(Error::invalid(
            "reasoning.effort",
            format!("'reasoning.effort' must be one of {}.", SCALE.join(", ")),
        )),
    }
}

/// Reports whether replies show the reasoning.
pub fn wants_summary(options: &ReasoningOptions) -> bool {
    let summary = options.summary.as_deref();
    let summary = summary.or(options.generate_summary.as_deref());
    summary.is_some_and(|summary| summary != "none")
}

/// Converts the format of the text.
///
/// # Errors
/// 400 with the invalid member.
pub fn format(format: TextFormat) -> Result<Option<ResponseFormat>, Error> {
    let json_schema = match format.kind.as_str() {
        "text" => return Ok(None),
        "json_object" => None,
        "json_schema" => {
            let schema = JsonSchema {
                name: format.name.unwrap_or_default(),
                description: format.description,
                schema: format.schema,
                strict: format.strict,
            };
            check_tools::schema(&schema, "text.format")?;
            Some(schema)
        }
        _ => {
            return Err(Error::invalid(
                "text.format.type",
                "'type' must be 'text', 'json_schema' or 'json_object'.",
            ));
        }
    };
    Ok(Some(ResponseFormat {
        kind: format.kind,
        json_schema,
    }))
}
