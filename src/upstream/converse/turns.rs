//! Enforces the structure of a Converse conversation: turns alternate, start with the user and are never empty, and
//! every tool use has its result at the start of the next user turn.

mod merge;

use std::{borrow::Cow, collections::HashSet};

use serde_json::value::RawValue;

use super::names::{hashed_id, tool_use_id};
use merge::without_empty_turns;

use crate::{
    bedrock::{
        content::{
            CachePointBlock, ContentBlock, ConversationRole, Message, ReasoningContentBlock,
            ToolResultBlock, ToolResultContentBlock, ToolUseBlock,
        },
        request::SystemContentBlock,
    },
    call::Warnings,
    model::Facts,
    operation::chat::TOOL_FAILED,
};

const SYSTEM_MOVED: &str = "messages: the system prompt was put before the first user turn (the model does not support it)";

/// The start of a system text in a turn of the user.
pub const LATE_SYSTEM: &str = "<system>\n";

/// Text for blocks and turns that would be empty, because Converse rejects blank text.
pub const PLACEHOLDER: &str = ".";

/// Maximum number of calls that wait for their results. Bounds the linear search for each result.
const MAX_PENDING: usize = 256;

/// A conversation that Converse accepts.
#[derive(Debug, Default)]
pub struct Conversation<'a> {
    pub system: Vec<SystemContentBlock<'a>>,
    pub messages: Vec<Message<'a>>,
}

/// Builds a [`Conversation`] from messages in their order.
pub struct Turns<'a, 'n> {
    facts: &'n Facts,
    warnings: &'n Warnings,
    system: Vec<SystemContentBlock<'a>>,
    messages: Vec<Message<'a>>,
    /// All sent ids. Converse requires ids that are unique in the conversation.
    used: HashSet<Cow<'a, str>>,
    /// Tool uses of the last assistant turn that have no result yet.
    pending: Vec<ToolUseIds<'a>>,
    /// Tool uses of the last assistant turn that have a result.
    answered: Vec<ToolUseIds<'a>>,
}

/// The client's id of a tool use, and the id that was sent.
struct ToolUseIds<'a> {
    client: Cow<'a, str>,
    sent: Cow<'a, str>,
}

impl<'a, 'n> Turns<'a, 'n> {
    pub fn new(facts: &'n Facts, warnings: &'n Warnings) -> Self {
        Self {
            facts,
            warnings,
            system: Vec::new(),
            messages: Vec::new(),
            used: HashSet::new(),
            pending: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Returns whether there are no turns. System text does not count.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns whether calls wait for their results, which must come next.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn system(&mut self, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        if !text.trim().is_empty() {
            self.system.push(SystemContentBlock::Text(text));
        }
    }

    /// Adds a cache point to the system prompt.
    pub fn system_cache_point(&mut self, point: CachePointBlock) {
        self.system.push(SystemContentBlock::CachePoint(point));
    }

    /// Adds a system turn, for models that support one after the first turn.
    pub fn late_system(&mut self, text: String) {
        if !text.trim().is_empty() {
            let content = vec![ContentBlock::Text(Cow::Owned(text))];
            self.messages.push(Message {
                role: ConversationRole::System,
                content,
            });
        }
    }

    /// Opens a user turn, even if no block follows.
    pub fn user(&mut self) {
        self.turn(ConversationRole::User);
    }

    pub fn user_block(&mut self, block: ContentBlock<'a>) {
        push(self.turn(ConversationRole::User), block);
    }

    pub fn user_text(&mut self, text: impl Into<Cow<'a, str>>) {
        self.user_block(ContentBlock::Text(text.into()));
    }

    /// Opens an assistant turn. Adds error results for calls of the previous assistant turn that have none.
    pub fn assistant(&mut self) {
        // Consecutive assistant messages may each have calls whose results follow after the last one.
        let continues = self
            .messages
            .last()
            .is_some_and(|last| last.role == ConversationRole::Assistant);
        if !continues || self.pending.len() >= MAX_PENDING {
            self.answer_pending();
        }
        if self.messages.is_empty() {
            self.warnings
                .add("messages: a user turn was added at the start (the first message is the assistant's)");
            self.user();
        }
        self.turn(ConversationRole::Assistant);
    }

    pub fn assistant_block(&mut self, block: ContentBlock<'a>) {
        push(self.turn(ConversationRole::Assistant), block);
    }

    /// Adds reasoning to the assistant turn.
    pub fn reasoning(&mut self, block: ReasoningContentBlock<'a>) {
        self.assistant_block(ContentBlock::ReasoningContent(block));
    }

    /// Adds a tool call to the assistant turn. `client` is the client's id of the call.
    pub fn tool_use(&mut self, client: Cow<'a, str>, name: Cow<'a, str>, input: Cow<'a, RawValue>) {
        let mut sent = tool_use_id(&client, self.facts.tool_use_id);
        while self.used.contains(&sent) {
            // Clients that number the calls of each turn repeat ids, so the call and its result get a new one.
            sent = hashed_id(
                &format!("{client}#{sent}#{}", self.used.len()),
                self.facts.tool_use_id,
            );
        }
        self.used.insert(sent.clone());
        self.pending.push(ToolUseIds {
            client,
            sent: sent.clone(),
        });
        let block = ContentBlock::ToolUse(ToolUseBlock {
            tool_use_id: sent,
            name,
            input,
            kind: None,
        });
        self.turn(ConversationRole::Assistant).content.push(block);
    }

    /// Adds the result of a call of the previous assistant turn. A result without a call is sent as text.
    pub fn tool_result(
        &mut self,
        client: &str,
        mut content: Vec<ToolResultContentBlock<'a>>,
        is_error: bool,
    ) {
        content.retain(
            |block| !matches!(block, ToolResultContentBlock::Text(text) if text.trim().is_empty()),
        );
        let position = self.pending.iter().position(|open| open.client == client);
        let has_status = position.is_some() && self.facts.tool_result_status;
        if is_error && !has_status {
            content.insert(0, ToolResultContentBlock::Text(TOOL_FAILED.into()));
        }
        if let Some(at) = position {
            let open = self.pending.remove(at);
            let status = (is_error && has_status).then_some("error");
            self.insert_result(open.sent.clone(), content, status);
            self.answered.push(open);
        } else if let Some(result) = self.result_of(client) {
            // Converse accepts one result per call, so a second result is appended to the first.
            if !content.is_empty() && is_placeholder(&result.content) {
                result.content.clear();
            }
            result.content.append(&mut content);
        } else {
            self.warnings.add(
                "messages: a tool result was sent as text (no preceding tool call has its id)",
            );
            let mut text = "Result of an earlier tool call: ".to_owned();
            let mut media = Vec::new();
            for block in content {
                match block {
                    ToolResultContentBlock::Text(more) => text.push_str(&more),
                    ToolResultContentBlock::Json(more) => text.push_str(more.get()),
                    ToolResultContentBlock::ToolReference(name) => text.push_str(name),
                    ToolResultContentBlock::Image(image) => media.push(ContentBlock::Image(image)),
                    ToolResultContentBlock::Document(document) => {
                        media.push(ContentBlock::Document(document))
                    }
                    ToolResultContentBlock::Video(video) => media.push(ContentBlock::Video(video)),
                    ToolResultContentBlock::SearchResult(found) => {
                        media.push(ContentBlock::SearchResult(found))
                    }
                }
            }
            self.user_text(text);
            media.into_iter().for_each(|block| self.user_block(block));
        }
    }

    /// Returns the conversation. `reasons` means that the model will reason, which rules out a prefill.
    pub fn finish(mut self, reasons: bool) -> Conversation<'a> {
        self.answer_pending();
        // OpenAI accepts a conversation of system messages only, whereas Converse requires a user turn.
        if self.messages.is_empty() || !self.facts.system {
            self.user_first();
            if !self.facts.system && !self.system.is_empty() {
                self.warnings.add(SYSTEM_MOVED);
            }
            let system = std::mem::take(&mut self.system).into_iter();
            let instructions = system.filter_map(|block| match block {
                SystemContentBlock::Text(text) => Some(ContentBlock::Text(text)),
                _ => None,
            });
            if let Some(first) = self.messages.first_mut() {
                first.content.splice(0..0, instructions);
            }
        }
        self.messages = without_empty_turns(std::mem::take(&mut self.messages), self.warnings);
        self.fix_prefill(reasons);
        for message in &mut self.messages {
            let has = |kind: fn(&ContentBlock<'a>) -> bool| message.content.iter().any(kind);
            let needs_text = has(|block| matches!(block, ContentBlock::Document(_)))
                && !has(|block| matches!(block, ContentBlock::Text(_)));
            if message.content.is_empty() || needs_text {
                let at = leading_results(message);
                message
                    .content
                    .insert(at, ContentBlock::Text(Cow::Borrowed(PLACEHOLDER)));
            }
        }
        Conversation {
            system: self.system,
            messages: self.messages,
        }
    }

    /// Trims a final assistant turn (a prefill), or adds a user turn if the model does not support prefill.
    fn fix_prefill(&mut self, reasons: bool) {
        let Some(last) = self
            .messages
            .last_mut()
            .filter(|last| last.role == ConversationRole::Assistant)
        else {
            return;
        };
        if !self.facts.prefill || reasons {
            let why = "the model cannot continue a final assistant message, so a user turn 'Continue.' was added";
            self.warnings.dropped("messages", why);
            self.user_text("Continue.");
            return;
        }
        let is_content =
            |block: &&mut ContentBlock<'a>| !matches!(block, ContentBlock::CachePoint(_));
        if let Some(ContentBlock::Text(text)) = last.content.iter_mut().rev().find(is_content) {
            let kept = text.trim_end().len();
            match text {
                Cow::Borrowed(borrowed) => *borrowed = &borrowed[..kept],
                Cow::Owned(owned) => owned.truncate(kept),
            }
        }
    }

    /// Returns the last turn if its role is `role`, else a new turn.
    fn turn(&mut self, role: ConversationRole) -> &mut Message<'a> {
        if self.messages.last().is_none_or(|last| last.role != role) {
            self.messages.push(Message {
                role,
                content: Vec::new(),
            });
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    /// Inserts an empty user turn at the start if there is none.
    fn user_first(&mut self) {
        let role = ConversationRole::User;
        if self.messages.first().is_none_or(|first| first.role != role) {
            let content = Vec::new();
            self.messages.insert(0, Message { role, content });
        }
    }

    /// Adds an error result for every call without a result, because Converse rejects a missing result.
    fn answer_pending(&mut self) {
        self.answered.clear();
        for unanswered in std::mem::take(&mut self.pending) {
            self.warnings
                .add("messages: an error result was added (a tool call has no result)");
            let text = ToolResultContentBlock::Text(Cow::Borrowed(
                "No result was provided for this tool call.",
            ));
            self.insert_result(
                unanswered.sent,
                vec![text],
                self.facts.tool_result_status.then_some("error"),
            );
        }
    }

    /// Inserts a result into the user turn, before all content that is not a result.
    fn insert_result(
        &mut self,
        tool_use_id: Cow<'a, str>,
        mut content: Vec<ToolResultContentBlock<'a>>,
        status: Option<&'static str>,
    ) {
        if content.is_empty() {
            content.push(ToolResultContentBlock::Text(Cow::Borrowed(PLACEHOLDER)));
        }
        let turn = self.turn(ConversationRole::User);
        let at = leading_results(turn);
        turn.content.insert(
            at,
            ContentBlock::ToolResult(ToolResultBlock {
                tool_use_id,
                content,
                status,
                kind: None,
            }),
        );
    }

    /// Returns the existing result of a call of the last assistant turn.
    fn result_of(&mut self, client: &str) -> Option<&mut ToolResultBlock<'a>> {
        let sent = &self
            .answered
            .iter()
            .find(|answered| answered.client == client)?
            .sent;
        self.messages
            .last_mut()?
            .content
            .iter_mut()
            .find_map(|block| match block {
                ContentBlock::ToolResult(result) if result.tool_use_id == *sent => Some(result),
                _ => None,
            })
    }
}

/// Returns the number of tool results at the start of a turn.
fn leading_results(turn: &Message<'_>) -> usize {
    turn.content
        .iter()
        .take_while(|block| matches!(block, ContentBlock::ToolResult(_)))
        .count()
}

fn is_placeholder(content: &[ToolResultContentBlock<'_>]) -> bool {
    matches!(content, [ToolResultContentBlock::Text(text)] if text == PLACEHOLDER)
}

/// Adds a block to a turn. Leaves out blank text, because Converse rejects it.
fn push<'a>(turn: &mut Message<'a>, block: ContentBlock<'a>) {
    if !matches!(&block, ContentBlock::Text(text) if text.trim().is_empty()) {
        turn.content.push(block);
    }
}
