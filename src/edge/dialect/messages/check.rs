//! Checks that do not depend on the model.

use axum::http::HeaderMap;

use super::betas;
use crate::{
    anthropic::{content::Content, request::MessagesRequest},
    catalogue::betas::INTERLEAVED_THINKING,
    edge::body::within,
    error::Error,
};

/// Validates `max_tokens`.
///
/// # Errors
/// 400 if it is missing, zero, or leaves no room for an answer after the thinking.
pub fn max_tokens(request: &MessagesRequest, headers: &HeaderMap) -> Result<(), Error> {
    let Some(most) = request.max_tokens else {
        let text = "'max_tokens' is required: the maximum number of output tokens.";
        return Err(Error::invalid("max_tokens", text).with_code("missing_required_parameter"));
    };
    // Bedrock's integers are signed and have 32 bits.
    within(
        "max_tokens",
        Some(f64::from(most)),
        1.0,
        f64::from(i32::MAX),
    )?;
    let budget = request.thinking.as_ref().and_then(|one| one.budget_tokens);
    let flags = betas::flags(request, headers);
    match budget {
        // With the flag, the budget applies to the whole turn.
        Some(budget)
            if budget >= most
                && !flags
                    .iter()
                    .any(|flag| flag.starts_with(INTERLEAVED_THINKING)) =>
        {
            let text = format!(
                "`max_tokens` must be greater than `thinking.budget_tokens`: it is {most}, and the budget is {budget}."
            );
            Err(Error::invalid("max_tokens", text))
        }
        _ => Ok(()),
    }
}

/// Validates the other members.
///
/// # Errors
/// 400 with the invalid member.
pub fn check(request: &MessagesRequest) -> Result<(), Error> {
    within("temperature", request.temperature, 0.0, 1.0)?;
    within("top_p", request.top_p, 0.0, 1.0)?;
    within(
        "top_k",
        request.top_k.map(f64::from),
        0.0,
        f64::from(i32::MAX),
    )?;
    if request.safeguards.is_some() {
        let text = "'safeguards' is not supported here: no route to Bedrock reports them. Omit it.";
        return Err(Error::invalid("safeguards", text).with_code("unsupported_parameter"));
    }
    if request.messages.is_empty() {
        let text = "'messages' must contain at least one message.";
        return Err(Error::invalid("messages", text));
    }
    if request
        .system
        .as_ref()
        .is_some_and(|system| !is_text(system))
    {
        let text = "'system' must be a string or a list of text blocks.";
        return Err(Error::invalid("system", text));
    }
    for (index, message) in request.messages.iter().enumerate() {
        if matches!(message.content, Content::Object) {
            let param = format!("messages[{index}].content");
            let text = format!("'{param}' must be a string or a list of content blocks.");
            return Err(Error::invalid(param, text));
        }
    }
    Ok(())
}

fn is_text(content: &Content) -> bool {
    match content {
        Content::Text(_) => true,
        Content::Blocks(blocks) => blocks.iter().all(|block| block.kind == "text"),
        Content::Object => false,
    }
}
