//! Translates the messages of a conversation, part by part, into turns.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;

use super::{
    Context, caching,
    duplicates::unique,
    media::Media,
    names::{Names, reasoning_mark},
    raw::raw_json,
    tool_input::{split_objects, tool_input},
    turns::{Conversation, LATE_SYSTEM, Turns},
};
use crate::{
    bedrock::content::{
        ContentBlock, ReasoningContentBlock, ReasoningTextBlock, ToolResultBlock,
        ToolResultContentBlock, ToolUseBlock,
    },
    error::Error,
    openai::message::ServerToolBlock,
    operation::chat::{
        Message, Origin, Part, RedactedThinking, Role, Thinking, ToolInput, ToolResult, ToolUse,
    },
};

const FOREIGN: &str = "reasoning can only be sent back to the model that signed it";

/// How the model reasons in a request.
#[derive(Clone, Copy, Debug)]
pub struct Reasons {
    /// The model will reason.
    pub enabled: bool,
    /// The model accepts its reasoning in earlier turns: nothing before it has changed.
    pub keeps_history: bool,
}

/// The state of the translation of one conversation.
struct Messages<'a, 'n> {
    cx: &'n Context<'a>,
    media: Media<'a, 'n>,
    turns: Turns<'a, 'n>,
    /// Whether the model gets back the reasoning of the history that it signed.
    returns_thinking: bool,
    /// The mark of reasoning that this model produced.
    mark: String,
}

/// Translates the whole history. `instruction` is appended to the client's system text.
///
/// # Errors
/// 400 with the path of the message or part that cannot be sent.
pub fn conversation<'a>(
    messages: &'a [Message],
    fetched: &'a HashMap<String, String>,
    instruction: Option<String>,
    reasons: Reasons,
    names: &mut Names<'a>,
    cx: &Context<'a>,
) -> Result<Conversation<'a>, Error> {
    let facts = &cx.model.facts;
    let mut build = Messages {
        cx,
        media: Media::new(
            facts,
            cx.warnings,
            fetched,
            cx.model.options.keep_file_names,
        ),
        turns: Turns::new(facts, cx.warnings),
        returns_thinking: reasons.enabled && reasons.keeps_history,
        mark: reasoning_mark(cx.model),
    };
    for message in messages {
        build.message(message, names)?;
    }
    if let Some(instruction) = instruction {
        build.turns.system(instruction);
    }
    Ok(build.turns.finish(reasons.enabled))
}

impl<'a> Messages<'a, '_> {
    fn message(&mut self, message: &'a Message, names: &mut Names<'a>) -> Result<(), Error> {
        let prefixes = self.cx.model.options.name_prefix;
        if message.name.is_some() && !prefixes {
            let param = format!("{}.name", message.origin);
            self.cx
                .warnings
                .dropped(param, "Converse has no such parameter");
        }
        match message.role {
            Role::System => {
                self.system(message);
                Ok(())
            }
            Role::User => self.user(message, message.name.as_deref().filter(|_| prefixes)),
            Role::Assistant => self.assistant(message, names),
        }
    }

    fn system(&mut self, message: &'a Message) {
        if self.turns.is_empty() {
            for part in &message.parts {
                match part {
                    Part::Text(text) => self.turns.system(text.as_str()),
                    Part::CachePoint(control) => {
                        self.turns
                            .system_cache_point(caching::point(control, self.cx.warnings));
                    }
                    _ => {}
                }
            }
            return;
        }
        let text: String = message.parts.iter().filter_map(Part::as_text).collect();
        let is_blank = text.trim().is_empty();
        // Moving it to the system prompt would invalidate the cached prefix and change what it refers to.
        if self.cx.model.facts.late_system && !self.turns.has_pending() {
            self.turns.late_system(text);
        } else if !is_blank {
            let origin = message.origin;
            self.cx.warnings.add(format!(
                "{origin}: sent in a user turn (the model accepts no system message at this position)"
            ));
            self.turns
                .user_text(format!("{LATE_SYSTEM}{text}\n</system>"));
        }
        for part in &message.parts {
            if let Part::CachePoint(control) = part {
                let point = caching::point(control, self.cx.warnings);
                self.turns.user_block(ContentBlock::CachePoint(point));
            }
        }
    }

    fn user(&mut self, message: &'a Message, mut prefix: Option<&'a str>) -> Result<(), Error> {
        self.turns.user();
        for part in &message.parts {
            match part {
                Part::Text(text) => {
                    let text = match prefix.take() {
                        Some(name) => Cow::Owned(format!("{name}: {text}")),
                        None => Cow::Borrowed(text.as_str()),
                    };
                    self.turns.user_text(text);
                }
                Part::Retrieved(retrieved) => self.turns.user_text(retrieved.text.as_str()),
                Part::ToolReference(reference) => self.turns.user_text(reference.text.as_str()),
                Part::ToolResult(result) => self.tool_result(result, message.origin)?,
                Part::CachePoint(control) => {
                    let point = caching::point(control, self.cx.warnings);
                    self.turns.user_block(ContentBlock::CachePoint(point));
                }
                part => {
                    if let Some(block) = self.media.block(part)? {
                        self.turns.user_block(block);
                    }
                }
            }
        }
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message, names: &mut Names<'a>) -> Result<(), Error> {
        self.turns.assistant();
        for part in &message.parts {
            match part {
                Part::Text(text) => {
                    self.turns
                        .assistant_block(ContentBlock::Text(Cow::Borrowed(text)));
                }
                Part::Thinking(thinking) => self.thinking(thinking, message.origin),
                Part::RedactedThinking(redacted) => self.redacted(redacted, message.origin),
                Part::ToolUse(call) => self.call(call, names),
                Part::ServerTool(block) => self.server_tool(block, message.origin),
                Part::CachePoint(control) => {
                    let point = caching::point(control, self.cx.warnings);
                    self.turns.assistant_block(ContentBlock::CachePoint(point));
                }
                // Dialects reject media in assistant messages.
                _ => {}
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &'a ToolUse, names: &mut Names<'a>) {
        if !self.cx.model.facts.tools {
            let (ToolInput::Arguments(input) | ToolInput::Text(input)) = &call.input;
            let text = format!("Called the tool {} with {input}", call.name);
            let warning =
                "messages: a tool call was sent as text (the model does not support tools)";
            self.cx.warnings.add(warning);
            self.turns.assistant_block(ContentBlock::Text(text.into()));
            return;
        }
        let id = Cow::Borrowed(call.id.as_str());
        let name = names.sent(&call.name);
        let arguments = match &call.input {
            ToolInput::Arguments(arguments) => arguments,
            ToolInput::Text(text) => {
                let text = serde_json::Value::from(text.as_str());
                return self
                    .turns
                    .tool_use(id, name, raw_json(format!("{{\"input\":{text}}}")));
            }
        };
        for (nth, arguments) in split_objects(arguments).into_iter().enumerate() {
            let id = match nth {
                0 => id.clone(),
                _ => Cow::Owned(format!("{}_{nth}", call.id)),
            };
            if nth > 0 {
                let warning = "messages: a tool call was sent as several calls (its arguments have several objects)";
                self.cx.warnings.add(warning);
            }
            self.turns
                .tool_use(id, name.clone(), tool_input(arguments, self.cx.warnings));
        }
    }

    /// Sends reasoning back if this model signed it, else drops it. Reasoning without a signature, or of a model that needs
    /// none back, is dropped silently, because it is part of every reply of such models.
    fn thinking(&mut self, thinking: &'a Thinking, origin: Origin) {
        let Some(signature) = thinking
            .signature
            .as_deref()
            .filter(|_| self.returns_thinking)
        else {
            return;
        };
        match self
            .strip_mark(signature)
            .filter(|_| self.cx.model.facts.reasoning.signed)
        {
            Some(signature) => {
                let block = ReasoningTextBlock {
                    text: &thinking.text,
                    signature: Some(signature),
                };
                self.turns
                    .reasoning(ReasoningContentBlock::ReasoningText(block));
            }
            None if signature.starts_with(self.mark.as_str()) => {}
            None => self.foreign(origin),
        }
    }

    fn redacted(&mut self, redacted: &'a RedactedThinking, origin: Origin) {
        if !self.returns_thinking {
            return;
        }
        match self
            .strip_mark(&redacted.data)
            .filter(|_| self.cx.model.facts.reasoning.redacted)
        {
            Some(data) => self
                .turns
                .reasoning(ReasoningContentBlock::RedactedContent(data)),
            None if redacted.data.starts_with(self.mark.as_str()) => {}
            None => self.foreign(origin),
        }
    }

    /// Warns about dropped reasoning of another model. The client may have it from this gateway, so this rejects no
    /// request.
    fn foreign(&self, origin: Origin) {
        self.cx
            .warnings
            .add(format!("{origin}.thinking_blocks: ignored, {FOREIGN}"));
    }

    /// Returns `marked` without its mark, or `None` if the mark is of another model.
    fn strip_mark(&self, marked: &'a str) -> Option<&'a str> {
        match marked.strip_prefix(self.mark.as_str()) {
            Some(own) => Some(own),
            None => (!marked.starts_with("lintel.")).then_some(marked),
        }
    }

    fn server_tool(&mut self, block: &'a ServerToolBlock, origin: Origin) {
        if self.cx.model.facts.web_search.is_none() {
            let param = format!("{origin}.server_tool_blocks");
            let why = "the model has no tools that AWS runs";
            return self.cx.warnings.dropped(param, why);
        }
        if let Some(call) = &block.tool_use {
            self.turns
                .assistant_block(ContentBlock::ToolUse(ToolUseBlock {
                    tool_use_id: Cow::Borrowed(&call.tool_use_id),
                    name: Cow::Borrowed(&call.name),
                    input: self.server_json(&call.input),
                    kind: Some("server_tool_use"),
                }));
        }
        if let Some(result) = &block.tool_result {
            let content =
                result
                    .content
                    .iter()
                    .filter_map(|content| match (&content.text, &content.json) {
                        (Some(text), _) => {
                            Some(ToolResultContentBlock::Text(Cow::Borrowed(text.as_str())))
                        }
                        (None, json) => json
                            .as_deref()
                            .map(|json| ToolResultContentBlock::Json(self.server_json(json))),
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

    /// Returns JSON of a tool that AWS ran, as the client sent it back.
    fn server_json(&self, json: &'a RawValue) -> Cow<'a, RawValue> {
        let place = " in server_tool_blocks";
        unique(Cow::Borrowed(json), "messages", place, self.cx.warnings)
    }

    fn tool_result(&mut self, result: &'a ToolResult, origin: Origin) -> Result<(), Error> {
        let mut content = Vec::new();
        let mut outside = Vec::new();
        for part in &result.content {
            let text = match part {
                Part::Text(text) => Some(text),
                Part::ToolReference(reference) if self.cx.extras.defers_tools => {
                    content.push(ToolResultContentBlock::ToolReference(&reference.name));
                    continue;
                }
                Part::ToolReference(reference) => Some(&reference.text),
                _ => None,
            };
            if let Some(text) = text {
                content.push(ToolResultContentBlock::Text(Cow::Borrowed(text.as_str())));
                continue;
            }
            match self.media.block(part)? {
                None => {}
                Some(block) if !self.cx.model.facts.tool_result_media => outside.push(block),
                Some(ContentBlock::Image(image)) => {
                    content.push(ToolResultContentBlock::Image(image));
                }
                Some(ContentBlock::Document(document)) => {
                    content.push(ToolResultContentBlock::Document(document));
                }
                Some(ContentBlock::Video(video)) => {
                    content.push(ToolResultContentBlock::Video(video));
                }
                Some(ContentBlock::SearchResult(found)) => {
                    content.push(ToolResultContentBlock::SearchResult(found));
                }
                Some(block) => outside.push(block),
            }
        }
        self.turns.tool_result(&result.id, content, result.is_error);
        for block in outside {
            let warning = format!(
                "{origin}: media of a tool result were sent after it (the model does not support them inside)"
            );
            self.cx.warnings.add(warning);
            self.turns.user_block(block);
        }
        Ok(())
    }
}
