//! The turns of a conversation. Cohere's body has text for each turn, and the results of the last calls beside the message
//! that led to them. So the calls and results of earlier turns become text.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    bedrock::content::{
        ContentBlock, ConversationRole, GuardrailConverseContentBlock, Message, ToolResultBlock,
        ToolResultContentBlock, ToolUseBlock,
    },
    call::Warnings,
    error::Error,
    upstream::converse::turns::{LATE_SYSTEM, PLACEHOLDER},
};

/// A conversation as the body has it.
pub struct Conversation<'a> {
    /// What the model answers.
    pub message: String,
    /// The turns before it.
    pub history: Vec<Turn>,
    /// The calls that the message led to, with their results.
    pub results: Vec<Called<'a>>,
}

/// A turn before the message.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    role: &'static str,
    message: String,
}

/// A call and its result.
#[derive(Serialize)]
pub struct Called<'a> {
    call: Call<'a>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    name: &'a str,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
struct Output<'a> {
    text: &'a str,
}

/// Returns the message, the turns before it, and the results that belong to it.
///
/// # Errors
/// 400 if the last turn is not the user's.
pub fn conversation<'r>(
    messages: &'r [Message<'_>],
    warnings: &Warnings,
) -> Result<Conversation<'r>, Error> {
    let (last, earlier) = match messages {
        [earlier @ .., last] if last.role != ConversationRole::Assistant => (last, earlier),
        _ => {
            return Err(Error::invalid(
                "messages",
                "The conversation must end with a message of the user for this model.",
            ));
        }
    };
    let steps = steps(last, earlier);
    let question = earlier.len().checked_sub(2 * steps.len());
    let (Some(question), false) = (question, steps.is_empty()) else {
        return Ok(Conversation {
            message: text(last),
            history: history(earlier, warnings),
            results: Vec::new(),
        });
    };
    if steps.iter().any(|(calls, _)| !text(calls).is_empty()) {
        warnings.add("messages: the text beside the last tool calls was dropped (the body of this model has no place for it)");
    }
    let results = steps.iter().rev().flat_map(called).collect();
    let asked = earlier.get(..question).zip(earlier.get(question));
    // The translation lets a conversation begin with a turn of the user.
    let (before, question) = asked.unwrap_or((&[], last));
    let mut history = history(before, warnings);
    let has_results = question.content.iter().any(is_result);
    let first = said(question);
    // Instructions may have come beside the results of any step.
    let new: Vec<&str> = steps.iter().rev().flat_map(|(_, own)| said(own)).collect();
    let is_question = new.iter().any(|text| !text.starts_with(LATE_SYSTEM));
    let message = if is_question {
        history.push(as_text(question, warnings));
        new
    } else {
        if has_results {
            history.push(turn("USER", results_as_text(question, warnings)));
        }
        [first, new].concat()
    };
    let message = match message.is_empty() {
        true => PLACEHOLDER.to_owned(),
        false => message.join("\n\n"),
    };
    Ok(Conversation {
        message,
        history,
        results,
    })
}

/// A turn with calls, and the turn with their results.
type Step<'r, 'a> = (&'r Message<'a>, &'r Message<'a>);

/// Returns the steps since the user has last said something, the last first.
fn steps<'r, 'a>(last: &'r Message<'a>, earlier: &'r [Message<'a>]) -> Vec<Step<'r, 'a>> {
    let mut steps = Vec::new();
    let (mut results, mut before) = (last, earlier);
    while results.content.iter().any(is_result)
        && let [rest @ .., question, calls] = before
    {
        steps.push((calls, results));
        let is_question = said(question)
            .iter()
            .any(|text| !text.starts_with(LATE_SYSTEM));
        if is_question || !question.content.iter().any(is_result) {
            break;
        }
        (results, before) = (question, rest);
    }
    steps
}

fn called<'r>((calls, results): &Step<'r, '_>) -> Vec<Called<'r>> {
    let call_of = |result: &ToolResultBlock<'_>| {
        calls.content.iter().find_map(|block| match block {
            ContentBlock::ToolUse(call) if call.tool_use_id == result.tool_use_id => Some(call),
            _ => None,
        })
    };
    let results = results.content.iter().filter_map(|block| match block {
        ContentBlock::ToolResult(result) => Some((call_of(result)?, result)),
        _ => None,
    });
    results
        .map(|(call, result)| {
            let mut outputs: Vec<Output<'_>> = texts(result).map(|text| Output { text }).collect();
            if outputs.is_empty() {
                outputs.push(Output { text: "" });
            }
            Called {
                call: Call {
                    name: &call.name,
                    parameters: &call.input,
                },
                outputs,
            }
        })
        .collect()
}

fn history(turns: &[Message<'_>], warnings: &Warnings) -> Vec<Turn> {
    turns.iter().map(|turn| as_text(turn, warnings)).collect()
}

/// Returns a turn as text, its calls and results included.
fn as_text(own: &Message<'_>, warnings: &Warnings) -> Turn {
    let role = match own.role {
        ConversationRole::Assistant => "CHATBOT",
        // The facts of this route have no system text between turns.
        ConversationRole::User | ConversationRole::System => "USER",
    };
    let mut parts: Vec<String> = Vec::new();
    for block in &own.content {
        match block {
            ContentBlock::ToolUse(ToolUseBlock { name, input, .. }) => {
                warn_of_text(warnings);
                parts.push(format!("Called the tool {name} with {}", input.get()));
            }
            ContentBlock::ToolResult(result) => {
                warn_of_text(warnings);
                parts.push(result_as_text(result));
            }
            other => parts.extend(block_text(other).map(str::to_owned)),
        }
    }
    turn(role, parts.join("\n\n"))
}

fn results_as_text(own: &Message<'_>, warnings: &Warnings) -> String {
    warn_of_text(warnings);
    let results = own.content.iter().filter_map(|block| match block {
        ContentBlock::ToolResult(result) => Some(result_as_text(result)),
        _ => None,
    });
    results.collect::<Vec<_>>().join("\n\n")
}

fn result_as_text(result: &ToolResultBlock<'_>) -> String {
    let text = texts(result).collect::<Vec<_>>().join("\n");
    format!("Result of the tool: {text}")
}

fn warn_of_text(warnings: &Warnings) {
    warnings.add("messages: earlier tool calls and their results were sent as text (the body of this model has a place for the last ones only)");
}

fn turn(role: &'static str, message: String) -> Turn {
    Turn { role, message }
}

fn is_result(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::ToolResult(_))
}

fn texts<'r>(result: &'r ToolResultBlock<'_>) -> impl Iterator<Item = &'r str> {
    result.content.iter().filter_map(|content| match content {
        ToolResultContentBlock::Text(text) => Some(text.as_ref()),
        ToolResultContentBlock::Json(json) => Some(json.get()),
        // The translation puts media after the results on this route.
        _ => None,
    })
}

/// Returns the texts of a turn, without the one that the translation adds to documents alone.
fn said<'r>(turn: &'r Message<'_>) -> Vec<&'r str> {
    let texts = turn.content.iter().filter_map(block_text);
    texts.filter(|text| *text != PLACEHOLDER).collect()
}

/// Joins the texts of a turn.
fn text(turn: &Message<'_>) -> String {
    let texts: Vec<&str> = turn.content.iter().filter_map(block_text).collect();
    texts.join("\n\n")
}

fn block_text<'r>(block: &'r ContentBlock<'_>) -> Option<&'r str> {
    match block {
        ContentBlock::Text(text) => Some(text.as_ref()),
        ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => Some(&text.text),
        // Documents are beside the turns, and the facts of this route allow no other content.
        _ => None,
    }
}
