//! The texts of a chat that a guardrail of the gateway evaluates: everything that the client can write into the prompt,
//! except system text, which is the application's, reasoning, and arguments of tool calls.

use std::sync::Arc;

use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    model::Model,
    openai::message::ServerToolBlock,
    operation::chat::{Chat, Message, Part, RetrievedText, Role},
};

/// The part of a chat to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// What the client sent, except media behind URLs.
    Client,
    /// What the gateway added since: passages, their images, and media behind URLs.
    Added,
}

/// Reports whether a guardrail evaluates the content of the message.
pub fn is_evaluated(message: &Message) -> bool {
    message.role != Role::System
}

/// Reports whether the name of the message goes into the prompt.
fn is_named(message: &Message, model: &Model) -> bool {
    model.options.name_prefix && message.role == Role::User
}

/// Returns the texts.
pub fn all<'a>(chat: &'a Chat, model: &Model, scope: Scope) -> Vec<&'a str> {
    let mut texts = Vec::new();
    let messages = chat.conversations().flatten();
    for message in messages.filter(|message| is_evaluated(message)) {
        if scope != Scope::Added && is_named(message, model) {
            texts.extend(message.name.as_deref());
        }
        for part in &message.parts {
            of_part(part, scope, &mut texts);
        }
    }
    if let Some(own) = chat.bedrock.as_ref().filter(|_| scope != Scope::Added) {
        let variables = own.prompt_variables.iter().flatten();
        texts.extend(variables.map(|(_, text)| text.as_str()));
        if let Some(fields) = &own.additional_model_request_fields {
            fields.values().for_each(|value| strings(value, &mut texts));
        }
    }
    if let Some(own) = chat.retrieval.as_deref().filter(|_| scope != Scope::Added) {
        texts.extend(own.query.as_deref());
    }
    texts
}

fn of_part<'a>(part: &'a Part, scope: Scope, texts: &mut Vec<&'a str>) {
    match part {
        Part::Retrieved(retrieved) => {
            texts.extend(retrieved.text.get(retrieved.passages.clone()));
        }
        _ if scope == Scope::Added => {}
        Part::Text(text) => texts.push(text),
        Part::ToolResult(result) => {
            texts.extend(result.content.iter().filter_map(Part::as_text));
        }
        Part::ServerTool(ServerToolBlock {
            tool_result: Some(result),
            ..
        }) => {
            for content in &result.content {
                texts.extend(content.text.as_deref());
                texts.extend(content.json.as_deref().map(RawValue::get));
            }
        }
        _ => {}
    }
}

fn strings<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, texts)),
        Value::Object(members) => members.values().for_each(|member| strings(member, texts)),
        _ => {}
    }
}

/// The place of a text, to replace it.
enum Place<'a> {
    Text(&'a mut String),
    Json(&'a mut Box<RawValue>),
    Passages(&'a mut RetrievedText),
}

/// Puts masked texts into the chat, in the order of [`all`].
pub fn mask(chat: &mut Chat, model: &Model, scope: Scope, masked: Vec<Option<String>>) {
    for (place, masked) in places(chat, model, scope).into_iter().zip(masked) {
        let Some(masked) = masked else { continue };
        match place {
            Place::Text(text) => *text = masked,
            Place::Json(json) => {
                let value = RawValue::from_string(masked.clone());
                // A mask can break the syntax. The text is a string then.
                if let Ok(value) = value.or_else(|_| to_raw_value(&masked)) {
                    *json = value;
                }
            }
            Place::Passages(retrieved) => {
                let old = retrieved.passages.clone();
                retrieved.passages = old.start..old.start + masked.len();
                retrieved.text.replace_range(old, &masked);
            }
        }
    }
}

fn places<'a>(chat: &'a mut Chat, model: &Model, scope: Scope) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    let messages = std::iter::once(&mut chat.messages).chain(&mut chat.more);
    for message in messages.flatten().filter(|message| is_evaluated(message)) {
        if scope != Scope::Added && is_named(message, model) {
            places.extend(message.name.as_mut().map(Place::Text));
        }
        for part in &mut message.parts {
            places_of_part(part, scope, &mut places);
        }
    }
    if let Some(own) = chat.bedrock.as_mut().filter(|_| scope != Scope::Added) {
        let variables = own.prompt_variables.iter_mut().flatten();
        places.extend(variables.map(|(_, text)| Place::Text(text)));
        if let Some(fields) = &mut own.additional_model_request_fields {
            places_of_members(fields, &mut places);
        }
    }
    if let Some(own) = chat.retrieval.as_mut().filter(|_| scope != Scope::Added) {
        let query = Arc::make_mut(own).query.as_mut();
        places.extend(query.map(Place::Text));
    }
    places
}

fn places_of_part<'a>(part: &'a mut Part, scope: Scope, places: &mut Vec<Place<'a>>) {
    match part {
        Part::Retrieved(retrieved) => {
            let has_passages = retrieved.text.get(retrieved.passages.clone()).is_some();
            places.extend(has_passages.then_some(Place::Passages(retrieved)));
        }
        _ if scope == Scope::Added => {}
        Part::Text(text) => places.push(Place::Text(text)),
        Part::ToolResult(result) => {
            let texts = result.content.iter_mut().filter_map(|part| match part {
                Part::Text(text) => Some(Place::Text(text)),
                _ => None,
            });
            places.extend(texts);
        }
        Part::ServerTool(ServerToolBlock {
            tool_result: Some(result),
            ..
        }) => {
            for content in &mut result.content {
                places.extend(content.text.as_mut().map(Place::Text));
                places.extend(content.json.as_mut().map(Place::Json));
            }
        }
        _ => {}
    }
}

fn places_of_members<'a>(members: &'a mut Map<String, Value>, places: &mut Vec<Place<'a>>) {
    for (_, value) in members {
        places_of_value(value, places);
    }
}

fn places_of_value<'a>(value: &'a mut Value, places: &mut Vec<Place<'a>>) {
    match value {
        Value::String(text) => places.push(Place::Text(text)),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| places_of_value(item, places)),
        Value::Object(members) => places_of_members(members, places),
        _ => {}
    }
}
