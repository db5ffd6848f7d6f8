//! Tool calls of a history and their results.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{Builder, media::media, text};
use crate::{
    call::Warnings,
    error::Error,
    model::ToolUseIdForm,
    operation::chat::{Message, Part, TOOL_FAILED, ToolInput, ToolResult, ToolUse},
    upstream::{
        converse::{
            Context,
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
        let inputs = inputs(call, self.cx.warnings);
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
        let sent = match self.style.positional_ids {
            true => Cow::Owned(format!("call_{}", self.pending.len())),
            false => unique_id(call, nth, &mut self.used, form),
        };
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
        let (content, mut beside) = result_content(result, message, self.cx, self.fetched)?;
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
                beside.splice(0..0, text(orphan(&content, self.cx.warnings)));
            }
        }
        Ok(beside)
    }

    /// Adds an error result for every call without a result, because the service rejects a missing one.
    pub fn answer_pending(&mut self) {
        for unanswered in std::mem::take(&mut self.pending) {
            self.out.push(body::Message::Tool {
                tool_call_id: unanswered.sent,
                content: missing_result(self.cx.warnings).into(),
            });
        }
        self.out.append(&mut self.held);
    }
}

/// Returns the arguments of a call, as JSON objects: several if the model wrote several into one call.
pub fn inputs<'a>(call: &'a ToolUse, warnings: &Warnings) -> Vec<Cow<'a, str>> {
    let inputs: Vec<Cow<'a, str>> = match &call.input {
        ToolInput::Text(input) => {
            let input = serde_json::Value::from(input.as_str());
            vec![format!("{{\"input\":{input}}}").into()]
        }
        ToolInput::Arguments(arguments) => split_objects(arguments)
            .into_iter()
            .map(|one| match tool_input(one, warnings) {
                Cow::Borrowed(raw) => raw.get().into(),
                Cow::Owned(raw) => raw.get().to_owned().into(),
            })
            .collect(),
    };
    if inputs.len() > 1 {
        warnings.add(
            "messages: a tool call was sent as several calls (its arguments have several objects)",
        );
    }
    inputs
}

/// Returns the id to send for the `nth` call that `call` becomes, which no other call in `used` has.
pub fn unique_id<'a>(
    call: &'a ToolUse,
    nth: usize,
    used: &mut HashSet<Cow<'a, str>>,
    form: ToolUseIdForm,
) -> Cow<'a, str> {
    let mut sent = match nth {
        0 => tool_use_id(&Cow::Borrowed(call.id.as_str()), form),
        _ => hashed_id(&format!("{}_{nth}", call.id), form),
    };
    while !used.insert(sent.clone()) {
        // Clients that number the calls of each turn repeat ids, so the call and its result get a new one.
        sent = hashed_id(&format!("{}#{sent}#{}", call.id, used.len()), form);
    }
    sent
}

/// Returns the text of a tool result, and its media, which follow in a user message.
///
/// # Errors
/// 400 for media that cannot be sent.
pub fn result_content<'a>(
    result: &'a ToolResult,
    message: &Message,
    cx: &Context<'_>,
    fetched: &HashMap<String, String>,
) -> Result<(Cow<'a, str>, Vec<body::Part<'a>>), Error> {
    let mut texts: Vec<&'a str> = result.is_error.then_some(TOOL_FAILED).into_iter().collect();
    let mut beside = Vec::new();
    for part in &result.content {
        match part {
            Part::Text(said) if said.trim().is_empty() => {}
            Part::Text(said) => texts.push(said),
            Part::ToolReference(reference) => texts.push(&reference.text),
            part => beside.extend(media(part, cx, fetched)?),
        }
    }
    if !beside.is_empty() {
        let origin = message.origin;
        cx.warnings.add(format!(
            "{origin}: media of a tool result were sent after it (the model does not support them inside)"
        ));
    }
    let content = match texts.as_slice() {
        [] => Cow::Borrowed(PLACEHOLDER),
        [one] => Cow::Borrowed(*one),
        many => Cow::Owned(many.concat()),
    };
    Ok((content, beside))
}

/// Returns the text to send for a result without a call.
pub fn orphan(content: &str, warnings: &Warnings) -> String {
    warnings.add("messages: a tool result was sent as text (no preceding tool call has its id)");
    format!("Result of an earlier tool call: {content}")
}

/// Returns the result of a call without one, which the service would reject.
pub fn missing_result(warnings: &Warnings) -> &'static str {
    warnings.add("messages: an error result was added (a tool call has no result)");
    "No result was provided for this tool call."
}

/// Returns the text to send for a call if the model does not support tools.
pub fn call_as_text(call: &ToolUse, warnings: &Warnings) -> String {
    let (ToolInput::Arguments(input) | ToolInput::Text(input)) = &call.input;
    warnings.add("messages: a tool call was sent as text (the model does not support tools)");
    format!("Called the tool {} with {input}", call.name)
}
