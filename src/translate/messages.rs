//! OpenAI's messages, role by role, into turns.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::turns::{Conversation, Turns};
use crate::{
    call::Notes,
    openai::chat::{Content, Message, Role},
};

/// The whole history as Converse wants it.
pub fn conversation<'a>(messages: &'a [Message], notes: &Notes) -> Conversation<'a> {
    let mut turns = Turns::new(notes);
    for (index, message) in messages.iter().enumerate() {
        if message.name.is_some() {
            notes.dropped(format!("messages[{index}].name"), "Converse has no such member");
        }
        if message.reasoning_content.is_some() {
            notes.dropped(format!("messages[{index}].reasoning_content"), "reasoning is not replayed");
        }
        match message.role {
            Role::System | Role::Developer if turns.is_empty() => {
                for text in texts(message) {
                    turns.system(text);
                }
            }
            // To hoist it would break the cached prefix and change what it refers to.
            Role::System | Role::Developer => {
                notes.add(format!("messages[{index}]: a late system message was sent in a user turn"));
                turns.user_text(format!("<system>\n{}\n</system>", joined(message)));
            }
            Role::User => {
                turns.user();
                for text in texts(message) {
                    turns.user_text(text);
                }
            }
            Role::Assistant => assistant(&mut turns, message, notes),
            Role::Tool | Role::Function => {
                turns.tool_result(message.tool_call_id.as_deref().unwrap_or_default(), joined(message));
            }
        }
    }
    turns.finish()
}

fn assistant<'a>(turns: &mut Turns<'a, '_>, message: &'a Message, notes: &Notes) {
    turns.assistant();
    for text in texts(message) {
        turns.assistant_text(text);
    }
    if let Some(refusal) = &message.refusal {
        turns.assistant_text(refusal);
    }
    for call in message.tool_calls.iter().flatten() {
        if let Some(function) = &call.function {
            turns.tool_use(&call.id, &function.name, input(&function.arguments, notes));
        }
    }
}

/// Every text of a message; validation has refused every other kind of part.
fn texts(message: &Message) -> Vec<&str> {
    match &message.content {
        None => Vec::new(),
        Some(Content::Text(text)) => vec![text],
        Some(Content::Parts(parts)) => {
            parts.iter().filter_map(|part| part.text.as_deref().or(part.refusal.as_deref())).collect()
        }
    }
}

fn joined(message: &Message) -> String {
    texts(message).concat()
}

/// `toolUse.input` must be an object; arguments are whatever the model once wrote.
fn input<'a>(arguments: &'a str, notes: &Notes) -> Cow<'a, RawValue> {
    let wrap = |key: &str, value: &str| {
        RawValue::from_string(format!("{{\"{key}\":{value}}}")).map(Cow::Owned).unwrap_or(Cow::Borrowed(RawValue::NULL))
    };
    if arguments.trim().is_empty() {
        return RawValue::from_string("{}".to_owned()).map(Cow::Owned).unwrap_or(Cow::Borrowed(RawValue::NULL));
    }
    match serde_json::from_str::<&RawValue>(arguments) {
        Ok(object) if object.get().starts_with('{') => Cow::Borrowed(object),
        Ok(other) => wrap("value", other.get()),
        Err(_) => {
            notes.add("the arguments of a tool call are not JSON; they were sent as text under '_raw'");
            wrap("_raw", &serde_json::Value::from(arguments).to_string())
        }
    }
}
