//! Writes a conversation as OpenAI messages, in its order. Every call is followed by its result.

pub mod calls;
pub mod media;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::body::{self, Content};
use calls::{MAX_PENDING, Pending, call_as_text};
use media::media;

use crate::{
    error::Error,
    operation::chat::{Message, Part, Role},
    upstream::converse::{Context, names::Names, turns::PLACEHOLDER},
};

/// How to write a conversation, beside the facts of the model.
pub struct Style {
    /// System messages are accepted.
    pub system: bool,
    /// The calls of a turn have the ids `call_0`, `call_1` …
    pub positional_ids: bool,
}

/// Returns the messages. `instruction` is appended to the system text.
///
/// # Errors
/// 400 with the path of the message or part that cannot be sent.
pub fn messages<'a>(
    cx: &Context<'a>,
    fetched: &'a HashMap<String, String>,
    instruction: Option<String>,
    style: Style,
    names: &mut Names<'a>,
) -> Result<Vec<body::Message<'a>>, Error> {
    let mut build = Builder {
        cx,
        fetched,
        style,
        out: Vec::new(),
        held: Vec::new(),
        pending: Vec::new(),
        used: HashSet::new(),
    };
    for message in cx.messages {
        match message.role {
            Role::System => build.system(message),
            Role::User => build.user(message)?,
            Role::Assistant => build.assistant(message, names),
        }
    }
    build.finish(instruction);
    Ok(build.out)
}

struct Builder<'a, 'n> {
    cx: &'n Context<'a>,
    fetched: &'a HashMap<String, String>,
    style: Style,
    out: Vec<body::Message<'a>>,
    /// Messages that came before all results of the last calls. They follow the results.
    held: Vec<body::Message<'a>>,
    pending: Vec<Pending<'a>>,
    /// All sent ids.
    used: HashSet<Cow<'a, str>>,
}

impl<'a> Builder<'a, '_> {
    fn push(&mut self, message: body::Message<'a>) {
        match self.pending.is_empty() {
            true => self.out.push(message),
            false => self.held.push(message),
        }
    }

    fn user_content(&mut self, parts: Vec<body::Part<'a>>, name: Option<&'a str>) {
        if !parts.is_empty() {
            let content = Content(parts);
            self.push(body::Message::User { content, name });
        }
    }

    fn system(&mut self, message: &'a Message) {
        let texts = message.parts.iter().filter_map(Part::as_text);
        let parts: Vec<_> = texts.filter_map(text).collect();
        if !parts.is_empty() {
            let content = Content(parts);
            self.push(body::Message::System { content });
        }
    }

    fn user(&mut self, message: &'a Message) -> Result<(), Error> {
        let prefixes = self.cx.model.options.name_prefix;
        let mut prefix = message.name.as_deref().filter(|_| prefixes);
        let mut parts = Vec::new();
        for part in &message.parts {
            match part {
                Part::Text(said) => match prefix.take() {
                    Some(name) => parts.extend(text(format!("{name}: {said}"))),
                    None => parts.extend(text(said.as_str())),
                },
                Part::Retrieved(retrieved) => parts.extend(text(retrieved.text.as_str())),
                Part::ToolReference(reference) => parts.extend(text(reference.text.as_str())),
                Part::ToolResult(result) => {
                    let beside = self.tool_result(result, message)?;
                    parts.extend(beside);
                }
                part => parts.extend(media(part, self.cx, self.fetched)?),
            }
        }
        let name = message.name.as_deref().filter(|_| !prefixes);
        self.user_content(parts, name);
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message, names: &mut Names<'a>) {
        let mut parts = Vec::new();
        let mut calls = Vec::new();
        for part in &message.parts {
            match part {
                Part::Text(said) => parts.extend(text(said.as_str())),
                Part::ToolUse(call) if self.cx.model.facts.tools => calls.push(call),
                Part::ToolUse(call) => parts.extend(text(call_as_text(call, self.cx.warnings))),
                Part::Thinking(thinking) if thinking.signature.is_some() => self.foreign(message),
                Part::RedactedThinking(_) => self.foreign(message),
                Part::ServerTool(_) => {
                    let param = format!("{}.server_tool_blocks", message.origin);
                    let why = "the model has no tools that AWS runs";
                    self.cx.warnings.dropped(param, why);
                }
                // Reasoning without a signature is part of every reply, and no endpoint takes it back.
                _ => {}
            }
        }
        if parts.is_empty() && calls.is_empty() {
            return;
        }
        // Consecutive assistant messages may each have calls whose results follow after the last one.
        let continues = !self.pending.is_empty()
            && self.held.is_empty()
            && self.pending.len() < MAX_PENDING
            && matches!(self.out.last(), Some(body::Message::Assistant { .. }));
        if !continues {
            self.answer_pending();
            self.out.push(body::Message::Assistant {
                content: None,
                name: message.name.as_deref(),
                tool_calls: Vec::new(),
            });
        }
        let calls: Vec<_> = calls
            .into_iter()
            .flat_map(|call| self.calls(call, names))
            .collect();
        if let Some(body::Message::Assistant {
            content,
            tool_calls,
            ..
        }) = self.out.last_mut()
        {
            if !parts.is_empty() {
                content.get_or_insert_default().0.extend(parts);
            }
            tool_calls.extend(calls);
        }
    }

    fn foreign(&self, message: &Message) {
        let origin = message.origin;
        self.cx.warnings.add(format!(
            "{origin}.thinking_blocks: ignored (this route takes no reasoning back)"
        ));
    }

    fn finish(&mut self, instruction: Option<String>) {
        self.answer_pending();
        if let Some(instruction) = instruction {
            let is_system =
                |message: &body::Message<'_>| matches!(message, body::Message::System { .. });
            let leading = self.out.iter().take_while(|one| is_system(one)).count();
            let content = Content::text(instruction);
            self.out.insert(leading, body::Message::System { content });
        }
        if !self.style.system {
            self.move_system();
        }
        let is_system =
            |message: &body::Message<'_>| matches!(message, body::Message::System { .. });
        if self.out.iter().all(is_system) {
            self.user_content(text(PLACEHOLDER).into_iter().collect(), None);
        } else if let Some(body::Message::Assistant { .. }) = self.out.last() {
            let why = "the model cannot continue a final assistant message, so a user turn 'Continue.' was added";
            self.cx.warnings.dropped("messages", why);
            self.user_content(text("Continue.").into_iter().collect(), None);
        }
    }

    /// Puts the text of system messages before the first user message.
    fn move_system(&mut self) {
        let mut moved = Vec::new();
        let mut rest = Vec::new();
        for message in std::mem::take(&mut self.out) {
            match message {
                body::Message::System { content } => moved.extend(content.0),
                other => rest.push(other),
            }
        }
        self.out = rest;
        if moved.is_empty() {
            return;
        }
        self.cx.warnings.add(
            "messages: the system prompt was put before the first user turn (the model does not support it)",
        );
        match self.out.first_mut() {
            Some(body::Message::User { content, .. }) => {
                content.0.splice(0..0, moved);
            }
            _ => {
                let content = Content(moved);
                let name = None;
                self.out.insert(0, body::Message::User { content, name });
            }
        }
    }
}

/// Returns a text part, unless the text is blank.
pub fn text<'a>(text: impl Into<Cow<'a, str>>) -> Option<body::Part<'a>> {
    let text = text.into();
    (!text.trim().is_empty()).then_some(body::Part::Text { text })
}
