//! Cohere Command R: a message, the turns before it, a preamble, tools and documents.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html>

mod documents;
mod reader;
mod tools;
mod turns;

pub use reader::CommandR;

use super::{Writer, body::Body};
use crate::{
    bedrock::request::{ConverseRequest, SystemContentBlock},
    error::Error,
};
use turns::Conversation;

/// The bounds of `p`. Bedrock's error message: "#/p: 1 is not less or equal to 0.99".
const P: (f64, f64) = (0.01, 0.99);

/// Returns the body of a request.
///
/// # Errors
/// 400 if the conversation does not end with a turn of the user, or has a document that the body cannot carry.
pub fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let Conversation {
        message,
        history,
        results,
    } = turns::conversation(&request.messages, writer.warnings)?;
    let mut body = Body::default();
    body.set("message", &message)?;
    body.set_list("chat_history", &history)?;
    let system = request.system.iter().filter_map(|block| match block {
        SystemContentBlock::Text(text) => Some(text.as_ref()),
        SystemContentBlock::GuardContent(_) | SystemContentBlock::CachePoint(_) => None,
    });
    let system: Vec<&str> = system.collect();
    if !system.is_empty() {
        body.set("preamble", &system.join("\n\n"))?;
    }
    body.set_list("documents", &documents::of(&request.messages)?)?;
    if let Some(config) = &request.tool_config {
        body.set_list("tools", &tools::of(config)?)?;
    }
    body.set_list("tool_results", &results)?;
    if let Some(config) = &request.inference_config {
        body.set_some("max_tokens", config.max_tokens)?;
        body.set_some("temperature", config.temperature)?;
        body.set_some("p", config.top_p.map(|p| bounded(p, writer)))?;
        body.set_list("stop_sequences", &config.stop_sequences)?;
    }
    body.extend(&request.additional_model_request_fields)?;
    Ok(body)
}

fn bounded(p: f64, writer: &Writer<'_>) -> f64 {
    let within = p.clamp(P.0, P.1);
    if (within - p).abs() > f64::EPSILON {
        writer.warnings.add(format!(
            "top_p: {p} was sent as {within} (this model accepts {} to {})",
            P.0, P.1
        ));
    }
    within
}

#[cfg(test)]
mod tests;
