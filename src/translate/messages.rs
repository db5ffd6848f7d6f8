//! OpenAI's messages, role by role, into turns.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Context,
    caching::{self, Mark},
    media::Media,
    names::{Names, mark_of},
    turns::{Conversation, Turns},
};
use crate::{
    call::Notes,
    converse::content::{
        CachePointBlock, ContentBlock, ReasoningContentBlock, ReasoningTextBlock, ToolResultBlock,
        ToolResultContentBlock, ToolUseBlock,
    },
    error::Error,
    openai::message::{Content, Message, Part, Role, ThinkingBlock, ToolCall},
};

/// What the messages need to know beside themselves.
pub struct Messages<'a, 'n> {
    cx: &'n Context<'a>,
    media: Media<'a, 'n>,
    turns: Turns<'a, 'n>,
    /// Ids of legacy function calls that wait for their result, with the function's name.
    functions: Vec<(&'a str, String)>,
    /// The model will reason: signed reasoning of the history goes back to it.
    reasons: bool,
    /// What its own reasoning is marked with.
    mark: String,
}

/// The whole history as Converse wants it. `instruction` goes behind the client's own system text.
///
/// # Errors
/// A 400 that names the message or part that cannot be sent.
pub fn conversation<'a>(
    messages: &'a [Message],
    instruction: Option<String>,
    reasons: bool,
    names: &mut Names<'a>,
    cx: &Context<'a>,
) -> Result<Conversation<'a>, Error> {
    let facts = &cx.model.facts;
    let mut build = Messages {
        cx,
        media: Media::new(
            facts,
            cx.notes,
            cx.fetched,
            cx.model.options.keep_file_names,
        ),
        turns: Turns::new(facts, cx.notes),
        functions: Vec::new(),
        reasons,
        mark: mark_of(cx.model),
    };
    for (index, message) in messages.iter().enumerate() {
        build.message(message, index, names)?;
    }
    if let Some(instruction) = instruction {
        build.turns.system(instruction);
    }
    Ok(build.turns.finish(reasons))
}

impl<'a> Messages<'a, '_> {
    fn message(
        &mut self,
        message: &'a Message,
        index: usize,
        names: &mut Names<'a>,
    ) -> Result<(), Error> {
        let name = message
            .name
            .as_deref()
            .filter(|_| message.role != Role::Function);
        if name.is_some() && !self.cx.model.options.name_prefix {
            self.cx.notes.dropped(
                format!("messages[{index}].name"),
                "Converse has no such member",
            );
        }
        if message.images.is_some() {
            self.cx.notes.dropped(
                format!("messages[{index}].images"),
                "the model's own images are not sent back",
            );
        }
        let prefix = name.filter(|_| self.cx.model.options.name_prefix);
        match message.role {
            Role::System | Role::Developer if self.turns.is_empty() => self.system(message),
            // To hoist it would break the cached prefix and change what it refers to.
            Role::System | Role::Developer
                if self.cx.model.facts.late_system && !self.turns.has_pending() =>
            {
                self.turns.late_system(texts(message).concat());
            }
            Role::System | Role::Developer => {
                self.cx.notes.add(format!(
                    "messages[{index}]: a late system message was sent in a user turn"
                ));
                self.turns
                    .user_text(format!("<system>\n{}\n</system>", texts(message).concat()));
            }
            Role::User => self.user(message, index, prefix)?,
            Role::Assistant => self.assistant(message, index, names),
            Role::Tool => {
                self.tool_result(
                    message,
                    message.tool_call_id.as_deref().unwrap_or_default(),
                    index,
                )?;
            }
            Role::Function => {
                let name = message.name.as_deref().unwrap_or_default();
                let waiting = self
                    .functions
                    .iter()
                    .position(|(function, _)| *function == name);
                let id = waiting
                    .map(|at| self.functions.remove(at).1)
                    .unwrap_or_default();
                self.tool_result(message, &id, index)?;
            }
        }
        if let Some(control) = &message.cache_control {
            self.mark(caching::point(control, self.cx.notes), message.role);
        }
        Ok(())
    }

    fn system(&mut self, message: &'a Message) {
        match &message.content {
            Some(Content::Text(text)) => self.turns.system(text.as_str()),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    if let Some(text) = &part.text {
                        self.turns.system(text.as_str());
                    }
                    if let Some(Mark(point)) = caching::mark(part, self.cx.notes) {
                        self.turns.system_cache_point(point);
                    }
                }
            }
            None => {}
        }
    }

    fn user(
        &mut self,
        message: &'a Message,
        index: usize,
        prefix: Option<&'a str>,
    ) -> Result<(), Error> {
        self.turns.user();
        let mut prefix = prefix;
        let mut text = |text: &'a str| match prefix.take() {
            Some(name) => Cow::Owned(format!("{name}: {text}")),
            None => Cow::Borrowed(text),
        };
        match &message.content {
            Some(Content::Text(content)) => self.turns.user_text(text(content)),
            Some(Content::Parts(parts)) => {
                for (at, part) in parts.iter().enumerate() {
                    if let Some(content) = part.text.as_deref().or(part.refusal.as_deref()) {
                        self.turns.user_text(text(content));
                    } else if !is_bare_point(part) {
                        let block = self
                            .media
                            .block(part, &format!("messages[{index}].content[{at}]"))?;
                        self.turns.user_block(block);
                    }
                    if let Some(Mark(point)) = caching::mark(part, self.cx.notes) {
                        self.turns.user_block(ContentBlock::CachePoint(point));
                    }
                }
            }
            None => {}
        }
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message, index: usize, names: &mut Names<'a>) {
        self.turns.assistant();
        self.replay_reasoning(message, index);
        self.replay_server_tools(message, index);
        if let Some(Content::Parts(parts)) = &message.content {
            for part in parts {
                if let Some(text) = part.text.as_deref().or(part.refusal.as_deref()) {
                    self.turns
                        .assistant_block(ContentBlock::Text(Cow::Borrowed(text)));
                }
                if let Some(Mark(point)) = caching::mark(part, self.cx.notes) {
                    self.turns.assistant_block(ContentBlock::CachePoint(point));
                }
            }
        } else if let Some(Content::Text(text)) = &message.content {
            self.turns
                .assistant_block(ContentBlock::Text(Cow::Borrowed(text)));
        }
        if let Some(refusal) = &message.refusal {
            self.turns
                .assistant_block(ContentBlock::Text(Cow::Borrowed(refusal)));
        }
        for call in message.tool_calls.iter().flatten() {
            self.call(call, names);
        }
        if let Some(call) = &message.function_call {
            if !self.cx.model.facts.tools {
                return self.call_as_text(&call.name, &call.arguments);
            }
            let id = format!("function_call_{index}");
            self.functions.push((&call.name, id.clone()));
            self.turns.tool_use(
                Cow::Owned(id),
                names.sent(&call.name),
                input(&call.arguments, self.cx.notes),
            );
        }
    }

    fn call(&mut self, call: &'a ToolCall, names: &mut Names<'a>) {
        if !self.cx.model.facts.tools {
            let function = call
                .function
                .as_ref()
                .map(|function| (&function.name, &function.arguments));
            if let Some((name, input)) = function.or(call
                .custom
                .as_ref()
                .map(|custom| (&custom.name, &custom.input)))
            {
                self.call_as_text(name, input);
            }
            return;
        }
        let id = Cow::Borrowed(call.id.as_str());
        if let Some(custom) = &call.custom {
            let input = owned(format!(
                "{{\"input\":{}}}",
                serde_json::Value::from(custom.input.as_str())
            ));
            self.turns.tool_use(id, names.sent(&custom.name), input);
        } else if let Some(function) = &call.function {
            let name = names.sent(&function.name);
            for (nth, arguments) in split(&function.arguments).into_iter().enumerate() {
                let id = if nth == 0 {
                    id.clone()
                } else {
                    Cow::Owned(format!("{}_{nth}", call.id))
                };
                if nth > 0 {
                    self.cx.notes.add("the arguments of a tool call hold several objects; each was sent as a call");
                }
                self.turns
                    .tool_use(id, name.clone(), input(arguments, self.cx.notes));
            }
        }
    }

    /// For a model that knows no tools.
    fn call_as_text(&mut self, name: &str, input: &str) {
        self.cx
            .notes
            .add("a tool call of the history was sent as text, the model takes no tools");
        self.turns.assistant_block(ContentBlock::Text(
            format!("Called the tool {name} with {input}").into(),
        ));
    }

    /// Reasoning goes back with the model's own signature or not at all.
    fn replay_reasoning(&mut self, message: &'a Message, index: usize) {
        let own = message.thinking_blocks.as_deref().unwrap_or_default();
        let unsigned = message.reasoning_content.is_some()
            && message.reasoning_signature.is_none()
            && own.is_empty();
        let notes = self.cx.notes;
        let at = |member: &str| format!("messages[{index}].{member}");
        if !self.reasons {
            if message.reasoning_content.is_some() || !own.is_empty() {
                notes.dropped(
                    at("reasoning_content"),
                    "the model does not reason in this call",
                );
            }
            return;
        }
        let recalled = message
            .tool_calls
            .iter()
            .flatten()
            .find_map(|call| self.cx.recalled.get(&call.id));
        if let Some(blocks) =
            recalled.filter(|_| own.is_empty() && message.reasoning_signature.is_none())
        {
            for block in blocks.iter() {
                self.thinking(block, &at("tool_calls"));
            }
        } else if unsigned {
            notes.dropped(
                at("reasoning_content"),
                "reasoning goes back only with the signature of the model",
            );
        } else if let (Some(text), Some(signature)) =
            (&message.reasoning_content, &message.reasoning_signature)
        {
            self.signed(text, signature, &at("reasoning_signature"));
        }
        for block in own {
            self.thinking(block, &at("thinking_blocks"));
        }
    }

    /// Calls and results of tools that AWS runs itself stand before the text that they led to.
    fn replay_server_tools(&mut self, message: &'a Message, index: usize) {
        let blocks = message.server_tool_blocks.as_deref().unwrap_or_default();
        if blocks.is_empty() {
            return;
        }
        if self.cx.model.facts.web_search.is_none() {
            return self.cx.notes.dropped(
                format!("messages[{index}].server_tool_blocks"),
                "the model has no tool that AWS runs itself",
            );
        }
        for block in blocks {
            if let Some(call) = &block.tool_use {
                self.turns
                    .assistant_block(ContentBlock::ToolUse(ToolUseBlock {
                        tool_use_id: Cow::Borrowed(&call.tool_use_id),
                        name: Cow::Borrowed(&call.name),
                        input: Cow::Borrowed(&call.input),
                        kind: Some("server_tool_use"),
                    }));
            }
            if let Some(result) = &block.tool_result {
                let content = result.content.iter().filter_map(|content| {
                    match (&content.text, &content.json) {
                        (Some(text), _) => {
                            Some(ToolResultContentBlock::Text(Cow::Borrowed(text.as_str())))
                        }
                        (None, json) => json.as_deref().map(ToolResultContentBlock::Json),
                    }
                });
                self.turns
                    .assistant_block(ContentBlock::ToolResult(ToolResultBlock {
                        tool_use_id: Cow::Borrowed(&result.tool_use_id),
                        content: content.collect(),
                        status: result.status.as_deref(),
                        kind: result.kind.as_deref(),
                    }));
            }
        }
    }

    fn thinking(&mut self, block: &'a ThinkingBlock, at: &str) {
        let redacted = self.cx.model.facts.reasoning.redacted;
        match (&block.data, &block.signature) {
            (Some(data), _) if redacted && self.own(data).is_some() => {
                let data = self.own(data).unwrap_or_default();
                self.turns
                    .reasoning(ReasoningContentBlock::RedactedContent(data));
            }
            (None, Some(signature)) => self.signed(&block.thinking, signature, at),
            _ => self.cx.notes.dropped(
                at.to_owned(),
                "reasoning goes back only to the model that signed it",
            ),
        }
    }

    fn signed(&mut self, text: &'a str, signature: &'a str, at: &str) {
        match self
            .own(signature)
            .filter(|_| self.cx.model.facts.reasoning.signed)
        {
            Some(signature) => {
                let block = ReasoningTextBlock {
                    text,
                    signature: Some(signature),
                };
                self.turns
                    .reasoning(ReasoningContentBlock::ReasoningText(block));
            }
            None => self.cx.notes.dropped(
                at.to_owned(),
                "reasoning goes back only to the model that signed it",
            ),
        }
    }

    /// Without its mark, if it is this model's or nobody's.
    fn own(&self, marked: &'a str) -> Option<&'a str> {
        match marked.strip_prefix(self.mark.as_str()) {
            Some(own) => Some(own),
            None => (!marked.starts_with("lintel.")).then_some(marked),
        }
    }

    fn tool_result(&mut self, message: &'a Message, id: &str, index: usize) -> Result<(), Error> {
        let mut content = Vec::new();
        let mut beside = Vec::new();
        match &message.content {
            Some(Content::Text(text)) => {
                content.push(ToolResultContentBlock::Text(Cow::Borrowed(text.as_str())))
            }
            Some(Content::Parts(parts)) => {
                for (at, part) in parts
                    .iter()
                    .enumerate()
                    .filter(|(_, part)| !is_bare_point(part))
                {
                    if let Some(text) = &part.text {
                        content.push(ToolResultContentBlock::Text(Cow::Borrowed(text.as_str())));
                        continue;
                    }
                    let block = self
                        .media
                        .block(part, &format!("messages[{index}].content[{at}]"))?;
                    match block {
                        block if !self.cx.model.facts.tool_result_media => beside.push(block),
                        ContentBlock::Image(image) => {
                            content.push(ToolResultContentBlock::Image(image))
                        }
                        ContentBlock::Document(document) => {
                            content.push(ToolResultContentBlock::Document(document))
                        }
                        ContentBlock::Video(video) => {
                            content.push(ToolResultContentBlock::Video(video))
                        }
                        ContentBlock::SearchResult(found) => {
                            content.push(ToolResultContentBlock::SearchResult(found))
                        }
                        block => beside.push(block),
                    }
                }
            }
            None => {}
        }
        self.turns.tool_result(id, content);
        for block in beside {
            self.cx.notes.add(format!(
                "messages[{index}]: media of a tool result were sent beside it"
            ));
            self.turns.user_block(block);
        }
        if let Some(Content::Parts(parts)) = &message.content {
            for Mark(point) in parts
                .iter()
                .filter_map(|part| caching::mark(part, self.cx.notes))
            {
                self.turns.user_block(ContentBlock::CachePoint(point));
            }
        }
        Ok(())
    }

    fn mark(&mut self, point: CachePointBlock, role: Role) {
        match role {
            Role::System | Role::Developer if self.turns.is_empty() => {
                self.turns.system_cache_point(point)
            }
            Role::Assistant => self.turns.assistant_block(ContentBlock::CachePoint(point)),
            _ => self.turns.user_block(ContentBlock::CachePoint(point)),
        }
    }
}

/// A part that is nothing but a cache point.
fn is_bare_point(part: &Part) -> bool {
    part.cache_point.is_some() && part.kind.is_empty()
}

fn texts(message: &Message) -> Vec<&str> {
    match &message.content {
        None => Vec::new(),
        Some(Content::Text(text)) => vec![text],
        Some(Content::Parts(parts)) => parts
            .iter()
            .filter_map(|part| part.text.as_deref())
            .collect(),
    }
}

/// More objects in one call than this are no mistake of a model.
const MAX_GLUED: usize = 16;

/// Some models glue the objects of several calls together.
fn split(arguments: &str) -> Vec<&str> {
    let mut objects: Vec<&str> = Vec::new();
    for value in serde_json::Deserializer::from_str(arguments).into_iter::<&RawValue>() {
        match value {
            Ok(object) if object.get().starts_with('{') && objects.len() < MAX_GLUED => {
                objects.push(object.get())
            }
            _ => return vec![arguments],
        }
    }
    if objects.len() > 1 {
        objects
    } else {
        vec![arguments]
    }
}

/// `toolUse.input` must be an object; arguments are whatever the model once wrote.
fn input<'a>(arguments: &'a str, notes: &Notes) -> Cow<'a, RawValue> {
    if arguments.trim().is_empty() {
        return owned("{}".to_owned());
    }
    match serde_json::from_str::<&RawValue>(arguments) {
        Ok(object) if object.get().starts_with('{') => Cow::Borrowed(object),
        Ok(other) => owned(format!("{{\"value\":{}}}", other.get())),
        Err(_) => {
            notes.add(
                "the arguments of a tool call are not JSON; they were sent as text under '_raw'",
            );
            owned(format!(
                "{{\"_raw\":{}}}",
                serde_json::Value::from(arguments)
            ))
        }
    }
}

/// Text that is known to be JSON.
pub fn owned<'a>(json: String) -> Cow<'a, RawValue> {
    RawValue::from_string(json).map_or(Cow::Borrowed(RawValue::NULL), Cow::Owned)
}
