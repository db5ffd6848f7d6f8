//! What InvokeModel's bodies add to the input of a chat.

use super::{Chat, Message, Part, RetrievalRequest, ToolInput};
use crate::{
    call::{Caller, Route},
    model::{InvokeFamily, Model},
};

/// More bytes than a template has around a turn.
const TURN: u64 = 64;

/// The bytes that break one special token.
const NEUTRALIZED: u64 = 3;

/// More bytes than the tags of a guardrail around a text.
const TAGS: u64 = 160;

/// The most bytes that the route adds to the text. A template's prompt is text as a whole, marks and neutralized tokens
/// included.
pub fn added(chat: &Chat, model: &Model, caller: &Caller, route: Route) -> u64 {
    if route != Route::Invoke {
        return 0;
    }
    let messages = || chat.conversations().flatten();
    let guarded = chat
        .bedrock
        .as_ref()
        .is_some_and(|own| own.guardrail.is_some())
        || caller.guardrails_for(model).in_call.is_some();
    let tags = match guarded {
        true => messages().map(|message| TAGS * message.texts()).sum(),
        false => 0,
    };
    let family = match model.facts.invoke.as_ref().map(|invoke| invoke.family) {
        Some(family) if family.is_template() => family,
        Some(InvokeFamily::CommandR) => return tags + command_r(chat),
        _ => return tags,
    };
    let marks: &[u8] = match family {
        InvokeFamily::TitanText | InvokeFamily::ClaudeText => b":",
        InvokeFamily::Command | InvokeFamily::Jurassic => b"",
        _ => b"<[",
    };
    // A token has three bytes at least, so that passages at most double.
    let passages = chat
        .retrieval
        .as_deref()
        .map_or(0, RetrievalRequest::max_bytes);
    let turns = messages().map(|message| TURN + NEUTRALIZED * tokens(message, marks));
    tags + passages + TURN + NEUTRALIZED * schema(chat, marks) + turns.sum::<u64>()
}

/// The most bytes that Command R's body adds: the definitions of tools beside their schemas, and words before earlier calls
/// and results. The shortest parameter, `"a":{},`, becomes less than six times as long. A name or a description is sent twice,
/// and a tokenizer may make each eleven times as long.
fn command_r(chat: &Chat) -> u64 {
    const DEFINED: u64 = 16;
    let tools = chat
        .tools
        .iter()
        .flatten()
        .filter_map(|tool| tool.function.as_ref());
    let schemas = tools
        .chain(chat.functions.iter().flatten())
        .filter_map(|function| function.parameters.as_ref())
        .map(|schema| schema.get().len() as u64);
    let parts = chat.conversations().flatten().flat_map(|one| &one.parts);
    let history = parts.map(|part| match part {
        // Tools are rebuilt from calls if there are none.
        Part::ToolUse(call) => {
            let (ToolInput::Arguments(input) | ToolInput::Text(input)) = &call.input;
            TURN + DEFINED * input.len() as u64
        }
        Part::ToolResult(_) => TURN,
        _ => 0,
    });
    let tools = chat.tools.iter().flatten().count() + chat.functions.iter().flatten().count();
    TURN * tools as u64 + DEFINED * schemas.sum::<u64>() + history.sum::<u64>()
}

/// The most special tokens in a schema that an instruction quotes.
fn schema(chat: &Chat, marks: &[u8]) -> u64 {
    let format = chat.response_format.as_ref();
    let schema = format.and_then(|format| format.json_schema.as_ref()?.schema.as_ref());
    schema.map_or(0, |schema| count_of(schema.get(), marks) as u64)
}

/// The most special tokens in a text: each has one of the `marks`, and tokens do not overlap there.
fn count_of(text: &str, marks: &[u8]) -> usize {
    text.bytes().filter(|byte| marks.contains(byte)).count()
}

/// The most special tokens in a message.
fn tokens(message: &Message, marks: &[u8]) -> u64 {
    let begins = |text: &str| count_of(text, marks);
    let count = |part: &Part| match part {
        Part::Text(text) => begins(text),
        Part::ToolUse(call) => {
            let (ToolInput::Arguments(input) | ToolInput::Text(input)) = &call.input;
            begins(&call.name) + begins(input)
        }
        Part::ToolResult(result) => {
            let texts = result.content.iter().filter_map(Part::as_text);
            texts.map(begins).sum()
        }
        _ => 0,
    };
    let name = message.name.as_deref().map_or(0, begins);
    (name + message.parts.iter().map(count).sum::<usize>()) as u64
}
