//! Writes the `message` object.

use super::{
    events::message_id,
    steps::{Collected, Steps},
};
use crate::{
    anthropic::reply::{Extensions, Message},
    edge::dialect::{
        ReplyContext,
        chat_completions::{kb, unwritable},
    },
    error::Error,
    operation::chat::{Chunk, WholeReply},
};

/// Serializes a whole reply. `model` is the name that the client requested.
///
/// # Errors
/// 500 if the reply cannot be serialized, which is a bug in the gateway.
pub fn to_json(
    model: &str,
    reply: WholeReply,
    mut steps: Steps,
    cx: ReplyContext<'_>,
) -> Result<Vec<u8>, Error> {
    let mut collected = Collected::default();
    let chunks = reply.choices.into_iter().next().unwrap_or_default();
    let last = [
        Some(Chunk::Usage(reply.usage)),
        reply.guardrail.map(Chunk::Guardrail),
    ];
    for chunk in chunks.into_iter().chain(last.into_iter().flatten()) {
        steps.push(chunk, &mut |event| collected.add(event));
    }
    if let Some(error) = steps.failure() {
        return Err(error);
    }
    let end = steps.end();
    let message = Message {
        id: &message_id(cx),
        r#type: "message",
        role: "assistant",
        model,
        content: collected.blocks,
        stop_reason: Some(end.stop_reason),
        stop_sequence: end.stop_sequence,
        stop_details: end.stop_details,
        usage: steps.usage().clone(),
        extensions: Extensions {
            kb: cx.trace.retrieval().map(|retrieval| kb(retrieval)),
            bedrock_guardrail: steps.guardrail(),
        },
    };
    serde_json::to_vec(&message).map_err(unwritable)
}
