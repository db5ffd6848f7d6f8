//! The structural rules of a Converse conversation: turns alternate, begin with the user, are never empty, and
//! every tool use is answered at the start of the next user turn.

use std::{borrow::Cow, collections::HashSet};

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
    names: HashSet<&'a str>,
    /// Every id that was sent: Converse wants them unique in the whole conversation.
    used: HashSet<Cow<'a, str>>,
    /// Tool uses of the last assistant turn that have no result yet.
    pending: Vec<Use<'a>>,
    /// Those that have one.
    answered: Vec<Use<'a>>,
}

/// One tool use: the id as the client knows it, and as it was sent.
#[derive(Debug)]
struct Use<'a> {
    client: &'a str,
    sent: Cow<'a, str>,
}

impl<'a, 'n> Turns<'a, 'n> {
    pub fn new(notes: &'n Notes) -> Self {
        Self {
            notes,
            system: Vec::new(),
            messages: Vec::new(),
            tool_names: Vec::new(),
            names: HashSet::new(),
            used: HashSet::new(),
            pending: Vec::new(),
            answered: Vec::new(),
        }
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

    pub fn tool_use(&mut self, client: &'a str, name: &'a str, input: Cow<'a, RawValue>) {
        let mut sent = tool_use_id(client);
        if self.used.contains(&sent) {
            // Clients that number the calls of each turn use an id again; the pair gets one of its own.
            sent = hashed_id(&format!("{client}#{}", self.used.len()));
        }
        self.used.insert(sent.clone());
        if self.names.insert(name) {
            self.tool_names.push(name);
        }
        self.pending.push(Use { client, sent: sent.clone() });
        let block = ToolUseBlock { tool_use_id: sent, name: Cow::Borrowed(name), input };
        self.turn(ConversationRole::Assistant).content.push(ContentBlock::ToolUse(block));
    }

    pub fn tool_result(&mut self, client: &'a str, text: String) {
        let text = if text.trim().is_empty() { PLACEHOLDER.to_owned() } else { text };
        if let Some(at) = self.pending.iter().position(|pending| pending.client == client) {
            let answered = self.pending.remove(at);
            self.insert_result(answered.sent.clone(), text);
            self.answered.push(answered);
        } else if let Some(result) = self.result_of(client) {
            result.content.push(ToolResultContentBlock::Text(Cow::Owned(text)));
        } else {
            self.notes.add("a tool result answers no call before it; it was sent as text");
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
        self.answered.clear();
        for unanswered in std::mem::take(&mut self.pending) {
            self.notes.add("a tool call has no result; one was put in that says so");
            self.insert_result(unanswered.sent, "No result was provided for this tool call.".to_owned());
        }
    }

    /// Results stand before everything else in their turn.
    fn insert_result(&mut self, tool_use_id: Cow<'a, str>, text: String) {
        let content = vec![ToolResultContentBlock::Text(Cow::Owned(text))];
        let turn = self.turn(ConversationRole::User);
        let at = turn.content.iter().take_while(|block| matches!(block, ContentBlock::ToolResult(_))).count();
        turn.content.insert(at, ContentBlock::ToolResult(ToolResultBlock { tool_use_id, content }));
    }

    /// The result that a call of the last assistant turn already has.
    fn result_of(&mut self, client: &str) -> Option<&mut ToolResultBlock<'a>> {
        let sent = &self.answered.iter().find(|answered| answered.client == client)?.sent;
        self.messages.last_mut()?.content.iter_mut().find_map(|block| match block {
            ContentBlock::ToolResult(result) if result.tool_use_id == *sent => Some(result),
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
    hashed_id(id)
}

fn hashed_id<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(format!("call_{}", &hex::encode(Sha256::digest(text.as_bytes()))[..24]))
}
