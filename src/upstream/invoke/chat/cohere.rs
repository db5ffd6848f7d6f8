//! Cohere Command R: a message, the turns before it, and a preamble.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html>

use serde::{Deserialize, Serialize};

use super::{
    Writer,
    body::Body,
    reply::{Reader, Reply},
};
use crate::{
    bedrock::{
        content::{ContentBlock, ConversationRole, GuardrailConverseContentBlock, Message},
        request::{ConverseRequest, SystemContentBlock},
    },
    error::Error,
    upstream::invoke::{malformed, parse},
};

/// A turn before the message.
#[derive(Serialize)]
struct Turn {
    role: &'static str,
    message: String,
}

/// Returns the body of a request.
///
/// # Errors
/// 400 if the conversation does not end with a turn of the user.
pub fn body(request: &ConverseRequest<'_>, _: &Writer<'_>) -> Result<Body, Error> {
    let (last, earlier) = match request.messages.as_slice() {
        [earlier @ .., last] if last.role != ConversationRole::Assistant => (last, earlier),
        _ => {
            return Err(Error::invalid(
                "messages",
                "The conversation must end with a message of the user for this model.",
            ));
        }
    };
    let mut body = Body::default();
    body.set("message", &text(last))?;
    let history = earlier.iter().map(|turn| Turn {
        role: match turn.role {
            ConversationRole::Assistant => "CHATBOT",
            ConversationRole::User => "USER",
            ConversationRole::System => "SYSTEM",
        },
        message: text(turn),
    });
    body.set_list("chat_history", &history.collect::<Vec<_>>())?;
    let system = request.system.iter().filter_map(|block| match block {
        SystemContentBlock::Text(text) => Some(text.as_ref()),
        SystemContentBlock::GuardContent(_) | SystemContentBlock::CachePoint(_) => None,
    });
    let system: Vec<&str> = system.collect();
    if !system.is_empty() {
        body.set("preamble", &system.join("\n\n"))?;
    }
    if let Some(config) = &request.inference_config {
        body.set_some("max_tokens", config.max_tokens)?;
        body.set_some("temperature", config.temperature)?;
        body.set_some("p", config.top_p)?;
        body.set_list("stop_sequences", &config.stop_sequences)?;
    }
    body.extend(&request.additional_model_request_fields)?;
    Ok(body)
}

/// Joins the texts of a turn. The facts of this route allow no other content.
fn text(turn: &Message<'_>) -> String {
    let texts = turn.content.iter().filter_map(|block| match block {
        ContentBlock::Text(text) => Some(text.as_ref()),
        ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => {
            Some(text.text.as_ref())
        }
        _ => None,
    });
    texts.collect::<Vec<&str>>().join("\n\n")
}

/// Reads replies and events.
pub struct CommandR;

/// A reply, or an event. Events without text or a finish reason say nothing that clients need.
#[derive(Deserialize)]
struct Generated {
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

impl Generated {
    fn read(self, reply: &mut Reply) {
        // The last event may repeat the whole text.
        if self.event_type.as_deref() != Some("stream-end") {
            reply.text(self.text.unwrap_or_default());
        }
        match self.finish_reason.as_deref() {
            None => {}
            Some("COMPLETE") => reply.stop("end_turn", None),
            Some("MAX_TOKENS") => reply.stop("max_tokens", None),
            Some("STOP_SEQUENCE") => reply.stop("stop_sequence", None),
            Some("ERROR_TOXIC") => reply.stop("content_filtered", None),
            Some(other) => reply.stop(other, None),
        }
    }
}

impl Reader for CommandR {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let whole: Generated = parse(body)?;
        if whole.text.is_none() {
            return Err(malformed("no `text`"));
        }
        whole.read(reply);
        if !reply.is_stopped() {
            reply.stop("end_turn", None);
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        parse::<Generated>(event)?.read(reply);
        Ok(())
    }
}
