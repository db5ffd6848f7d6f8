//! Converts a request's system prompt and messages to a conversation. Every block keeps its place, because the model signs
//! its thinking together with what precedes it.

use super::blocks::{self, Opener};
use crate::{
    anthropic::content::{Block, Content, Message as WireMessage, Role as WireRole},
    error::Error,
    operation::chat::{Message, Origin, Part, Role},
};

/// The start of a line that Claude Code puts first. It differs from request to request, so that nothing behind it could be
/// shared in the prompt cache, and some models refuse it.
const BILLING: &str = "x-anthropic-billing-header";

/// Converts the system prompt and the messages.
///
/// # Errors
/// 400 with the path of the invalid block.
pub fn messages(
    system: Option<Content>,
    messages: Vec<WireMessage>,
    cx: &mut Opener<'_>,
) -> Result<Vec<Message>, Error> {
    let mut conversation = Vec::with_capacity(messages.len() + 1);
    if let Some(system) = system {
        let origin = Origin {
            list: "system",
            index: 0,
        };
        let parts = system_parts(system, cx)?;
        conversation.push(message(Role::System, parts, origin));
    }
    for (index, wire) in messages.into_iter().enumerate() {
        let origin = Origin {
            list: "messages",
            index,
        };
        let role = match wire.role {
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
            WireRole::System => Role::System,
        };
        let at = format!("{origin}.content");
        let parts = match wire.content {
            Content::Blocks(list) => blocks::parts(list, wire.role, &at, cx)?,
            Content::Text(text) => vec![Part::Text(text)],
            Content::Object => Vec::new(),
        };
        let is_point = |part: &Part| matches!(part, Part::CachePoint(_));
        if role == Role::System && parts.iter().all(is_point) {
            // It only changed tools or options. What it marks for the cache ends with the message before it.
            if let Some(Message { parts: before, .. }) = conversation.last_mut() {
                before.extend(parts);
            }
            continue;
        }
        if role == Role::Assistant && parts.iter().all(is_point) {
            cx.warnings.add(format!(
                "{origin}: dropped (the assistant message is empty)"
            ));
            continue;
        }
        conversation.push(message(role, parts, origin));
    }
    Ok(conversation)
}

fn message(role: Role, parts: Vec<Part>, origin: Origin) -> Message {
    Message {
        role,
        name: None,
        parts,
        origin,
    }
}

fn system_parts(system: Content, cx: &mut Opener<'_>) -> Result<Vec<Part>, Error> {
    match system {
        Content::Text(text) if text.starts_with(BILLING) => {
            let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
            Ok(vec![Part::Text(rest.to_owned())])
        }
        Content::Text(text) => Ok(vec![Part::Text(text)]),
        Content::Blocks(mut list) => {
            let is_billing = |block: &Block| {
                block
                    .text
                    .as_ref()
                    .is_some_and(|text| text.starts_with(BILLING))
            };
            if list.first().is_some_and(is_billing) {
                list.remove(0);
            }
            blocks::parts(list, WireRole::System, "system", cx)
        }
        Content::Object => Ok(Vec::new()),
    }
}
