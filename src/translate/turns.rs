//! The structural rules of a Converse conversation: turns alternate, begin with the user, are never empty, and
//! every tool use is answered at the start of the next user turn.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{
    call::Notes,
    converse::request::{
        ContentBlock, ConversationRole, Message, SystemContentBlock, ToolResultBlock, ToolResultContentBlock,
        ToolUseBlock,
    },
};

/// Converse refuses blank text; this is the least that it accepts.
const PLACEHOLDER: &str = ".";

/// A conversation that Converse accepts.
#[derive(Debug)]
pub struct Conversation<'a> {
    pub system: Vec<SystemContentBlock<'a>>,
    pub messages: Vec<Message<'a>>,
    /// Names of the tools that were called in it, in order of first use.
    pub tool_names: Vec<&'a str>,
}

/// Builds a [`Conversation`] from messages in their order.
#[derive(Debug)]
pub struct Turns<'a, 'n> {
    notes: &'n Notes,
    system: Vec<SystemContentBlock<'a>>,
    messages: Vec<Message<'a>>,
    tool_names: Vec<&'a str>,
    /// Tool uses of the last assistant turn that have no result yet.
    pending: Vec<Cow<'a, str>>,
}

impl<'a, 'n> Turns<'a, 'n> {
    pub fn new(notes: &'n Notes) -> Self {
        Self { notes, system: Vec::new(), messages: Vec::new(), tool_names: Vec::new(), pending: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub fn system(&mut self, text: &'a str) {
        if !text.trim().is_empty() {
            self.system.push(SystemContentBlock::Text(Cow::Borrowed(text)));
        }
    }

    /// Opens a user turn, even if nothing comes to stand in it.
    pub fn user(&mut self) {
        self.turn(ConversationRole::User);
    }

    pub fn user_text(&mut self, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        let turn = self.turn(ConversationRole::User);
        if !text.trim().is_empty() {
            turn.content.push(ContentBlock::Text(text));
        }
    }

    /// Begins an assistant message. What the one before it called must have been answered by now.
    pub fn assistant(&mut self) {
        self.answer_pending();
        if self.messages.is_empty() {
            self.notes.add("messages: the first is the assistant's; a user turn was put before it");
            self.user();
        }
        self.turn(ConversationRole::Assistant);
    }

    pub fn assistant_text(&mut self, text: &'a str) {
        if !text.trim().is_empty() {
            self.turn(ConversationRole::Assistant).content.push(ContentBlock::Text(Cow::Borrowed(text)));
        }
    }

    pub fn tool_use(&mut self, id: &'a str, name: &'a str, input: Cow<'a, RawValue>) {
        let id = tool_use_id(id);
        if self.pending.contains(&id) {
            self.notes.add(format!("tool call '{id}': the same id twice in one message; only the first was sent"));
            return;
        }
        if !self.tool_names.contains(&name) {
            self.tool_names.push(name);
        }
        self.pending.push(id.clone());
        let block = ToolUseBlock { tool_use_id: id, name: Cow::Borrowed(name), input };
        self.turn(ConversationRole::Assistant).content.push(ContentBlock::ToolUse(block));
    }

    pub fn tool_result(&mut self, id: &'a str, text: String) {
        let id = tool_use_id(id);
        let text = if text.trim().is_empty() { PLACEHOLDER.to_owned() } else { text };
        if let Some(at) = self.pending.iter().position(|pending| *pending == id) {
            self.pending.remove(at);
            self.insert_result(id, text);
        } else if let Some(result) = self.result_in_last_turn(&id) {
            result.content.push(ToolResultContentBlock::Text(Cow::Owned(text)));
        } else {
            self.notes.add(format!("tool result '{id}': no call before it has this id; sent as text"));
            self.user_text(format!("Result of an earlier tool call: {text}"));
        }
    }

    pub fn finish(mut self) -> Conversation<'a> {
        self.answer_pending();
        // OpenAI answers a conversation of instructions alone; Converse wants a user turn.
        if self.messages.is_empty() {
            for SystemContentBlock::Text(text) in std::mem::take(&mut self.system) {
                self.user_text(text);
            }
            self.user();
        }
        self.drop_empty_assistant_turns();
        for message in &mut self.messages {
            if message.content.is_empty() {
                message.content.push(ContentBlock::Text(Cow::Borrowed(PLACEHOLDER)));
            }
        }
        // A final assistant turn is a prefill, which must not end in white space.
        if let Some(Message { role: ConversationRole::Assistant, content }) = self.messages.last_mut()
            && let Some(ContentBlock::Text(text)) = content.last_mut()
        {
            let kept = text.trim_end().len();
            match text {
                Cow::Borrowed(borrowed) => *borrowed = &borrowed[..kept],
                Cow::Owned(owned) => owned.truncate(kept),
            }
        }
        Conversation { system: self.system, messages: self.messages, tool_names: self.tool_names }
    }

    /// The last turn if it is `role`'s, else a new one.
    fn turn(&mut self, role: ConversationRole) -> &mut Message<'a> {
        if self.messages.last().is_none_or(|last| last.role != role) {
            self.messages.push(Message { role, content: Vec::new() });
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    fn answer_pending(&mut self) {
        for id in std::mem::take(&mut self.pending) {
            self.notes.add(format!("tool call '{id}': no result follows it; an empty one was put in"));
            self.insert_result(id, "No result was provided for this tool call.".to_owned());
        }
    }

    /// Results stand before everything else in their turn.
    fn insert_result(&mut self, tool_use_id: Cow<'a, str>, text: String) {
        let content = vec![ToolResultContentBlock::Text(Cow::Owned(text))];
        let turn = self.turn(ConversationRole::User);
        let at = turn.content.iter().take_while(|block| matches!(block, ContentBlock::ToolResult(_))).count();
        turn.content.insert(at, ContentBlock::ToolResult(ToolResultBlock { tool_use_id, content }));
    }

    fn result_in_last_turn(&mut self, id: &str) -> Option<&mut ToolResultBlock<'a>> {
        self.messages.last_mut()?.content.iter_mut().find_map(|block| match block {
            ContentBlock::ToolResult(result) if result.tool_use_id == id => Some(result),
            _ => None,
        })
    }

    /// An assistant turn with nothing in it goes, and its neighbours become one turn.
    fn drop_empty_assistant_turns(&mut self) {
        let mut kept: Vec<Message<'a>> = Vec::with_capacity(self.messages.len());
        for message in std::mem::take(&mut self.messages) {
            if message.role == ConversationRole::Assistant && message.content.is_empty() {
                continue;
            }
            match kept.last_mut() {
                Some(last) if last.role == message.role => last.content.extend(message.content),
                _ => kept.push(message),
            }
        }
        self.messages = kept;
    }
}

/// The id as it is where the service model's pattern allows it, else a hash of it: the same for call and result.
fn tool_use_id(id: &str) -> Cow<'_, str> {
    let fits = (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'));
    if fits {
        return Cow::Borrowed(id);
    }
    Cow::Owned(format!("call_{}", &hex::encode(Sha256::digest(id.as_bytes()))[..24]))
}
