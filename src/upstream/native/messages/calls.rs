//! Tool calls of a history and their results.

use std::borrow::Cow;

use super::{Builder, text};
use crate::{
    error::Error,
    operation::chat::{Message, Part, ToolInput, ToolResult, ToolUse},
    upstream::{
        converse::{
            names::{Names, hashed_id, tool_use_id},
            tool_input::{split_objects, tool_input},
            turns::PLACEHOLDER,
        },
        native::body,
    },
};

/// Cap on the calls that wait for their results. Bounds the linear search for each result.
pub const MAX_PENDING: usize = 256;

/// A call without a result: the client's id, and the id that was sent.
pub struct Pending<'a> {
    client: &'a str,
    sent: Cow<'a, str>,
}

impl<'a> Builder<'a, '_> {
    /// Returns the calls to send for one call of the history: several if its arguments are several objects.
    pub fn calls(&mut self, call: &'a ToolUse, names: &mut Names<'a>) -> Vec<body::ToolCall<'a>> {
        let name = names.sent(&call.name);
        let inputs: Vec<Cow<'a, str>> = match &call.input {
            ToolInput::Text(input) => {
                let input = serde_json::Value::from(input.as_str());
                vec![format!("{{\"input\":{input}}}").into()]
            }
            ToolInput::Arguments(arguments) => split_objects(arguments)
                .into_iter()
                .map(|one| match tool_input(one, self.cx.warnings) {
                    Cow::Borrowed(raw) => raw.get().into(),
                    Cow::Owned(raw) => raw.get().to_owned().into(),
                })
                .collect(),
        };
        if inputs.len() > 1 {
            self.cx.warnings.add(
                "messages: a tool call was sent as several calls (its arguments have several objects)",
            );
        }
        let sent = inputs.into_iter().enumerate().map(|(nth, arguments)| {
            let id = self.id(call, nth);
            body::ToolCall {
                id,
                kind: "function",
                function: body::Call {
                    name: name.clone(),
                    arguments,
                },
            }
        });
        sent.collect()
    }

    /// Returns the id to send for a call, and records that the call waits for its result.
    fn id(&mut self, call: &'a ToolUse, nth: usize) -> Cow<'a, str> {
        let form = self.cx.model.facts.tool_use_id;
        let mut sent = match (self.style.positional_ids, nth) {
            (true, _) => Cow::Owned(format!("call_{}", self.pending.len())),
            (false, 0) => tool_use_id(&Cow::Borrowed(call.id.as_str()), form),
            (false, _) => hashed_id(&format!("{}_{nth}", call.id), form),
        };
        while !self.style.positional_ids && !self.used.insert(sent.clone()) {
            // Clients that number the calls of each turn repeat ids, so the call and its result get a new one.
            sent = hashed_id(&format!("{}#{sent}#{}", call.id, self.used.len()), form);
        }
        self.pending.push(Pending {
            client: &call.id,
            sent: sent.clone(),
        });
        sent
    }

    /// Sends a result after its call. Returns the media of the result, which follow in a user message.
    pub fn tool_result(
        &mut self,
        result: &'a ToolResult,
        message: &Message,
    ) -> Result<Vec<body::Part<'a>>, Error> {
        let mut texts: Vec<&'a str> = Vec::new();
        let mut beside = Vec::new();
        for part in &result.content {
            match part {
                Part::Text(said) if said.trim().is_empty() => {}
                Part::Text(said) => texts.push(said),
                part => beside.extend(self.media(part)?),
            }
        }
        if !beside.is_empty() {
            let origin = message.origin;
            self.cx.warnings.add(format!(
                "{origin}: media of a tool result were sent after it (the model does not support them inside)"
            ));
        }
        let content = match texts.as_slice() {
            [] => Cow::Borrowed(PLACEHOLDER),
            [one] => Cow::Borrowed(*one),
            many => Cow::Owned(many.concat()),
        };
        let mut waiting = self.pending.iter();
        let waiting = waiting.position(|open| open.client == result.id);
        match waiting {
            Some(at) => {
                let Pending { sent, .. } = self.pending.remove(at);
                self.out.push(body::Message::Tool {
                    tool_call_id: sent,
                    content,
                });
                if self.pending.is_empty() {
                    self.out.append(&mut self.held);
                }
            }
            None => {
                self.cx.warnings.add(
                    "messages: a tool result was sent as text (no preceding tool call has its id)",
                );
                let said = format!("Result of an earlier tool call: {content}");
                beside.splice(0..0, text(said));
            }
        }
        Ok(beside)
    }

    /// Adds an error result for every call without a result, because the service rejects a missing one.
    pub fn answer_pending(&mut self) {
        for unanswered in std::mem::take(&mut self.pending) {
            self.cx
                .warnings
                .add("messages: an error result was added (a tool call has no result)");
            self.out.push(body::Message::Tool {
                tool_call_id: unanswered.sent,
                content: "No result was provided for this tool call.".into(),
            });
        }
        self.out.append(&mut self.held);
    }
}
