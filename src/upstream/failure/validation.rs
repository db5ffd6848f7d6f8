//! Requests that the service rejects as invalid. Only the text of its message tells why.

use super::{
    ErrorReply, REJECTED, model_not_found,
    wrong_route::{is_invalid_id, is_wrong_route},
};
use crate::{
    error::{Error, Kind},
    upstream::redact::redact,
};

/// Returns the error for a `ValidationException`. Bedrock reports a full context window and an unknown model only in
/// the text of its message, whereas OpenAI has error codes for both.
pub fn validation(reply: &ErrorReply) -> Error {
    const TOO_LONG: [&str; 9] = [
        "input is too long",
        "prompt is too long",
        "input tokens exceed",
        "number of input tokens",
        "too many input tokens",
        "context length",
        "exceed context limit",
        "context window",
        "maximum context",
    ];
    let message = reply.message.as_deref().unwrap_or("no reason given");
    let lower = message.to_ascii_lowercase();
    if TOO_LONG.iter().any(|text| lower.contains(text)) {
        return Error::new(
            Kind::InvalidRequest,
            "The input is longer than the model's context window. Shorten it.",
        )
        // Clients read from the service's numbers how much they have to leave out.
        .with_quote(&redact(message))
        .with_code("context_length_exceeded");
    }
    if lower.contains("blocked by our content filters") {
        return Error::new(
            Kind::InvalidRequest,
            format!(
                "The model's safety system rejected the request: {}",
                redact(message)
            ),
        )
        .with_code("content_policy_violation");
    }
    if is_invalid_id(&lower) {
        return model_not_found(
            "Bedrock has no model with the id that is configured for this name. Contact the gateway's operator.",
        )
        .with_wrong_route();
    }
    if is_wrong_route(&lower) {
        return model_not_found(
            "Bedrock does not serve this model on the API that the gateway called. Contact the gateway's operator.",
        )
        .with_wrong_route();
    }
    if lower.contains("on-demand throughput") {
        return model_not_found(
            "This model requires an inference profile (for example the prefix 'us.' before its id). Contact the gateway's operator.",
        );
    }
    Error::new(
        Kind::InvalidRequest,
        format!("{REJECTED}{}", redact(message)),
    )
    .with_code("invalid_request")
}
