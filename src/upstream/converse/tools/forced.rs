//! Forces a model to call a tool.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Entry, Tools, marks};
use crate::{
    bedrock::request::{Tool, ToolChoice},
    error::Error,
    model::{Facts, ToolChoiceMode},
    upstream::converse::{Context, choice::Choice, structured::JsonTool},
};

/// Checks that the tool choice refers to tools in the list. `searches` means that the request has web search.
///
/// # Errors
/// 400 if the choice is `required` without tools, or names an unknown tool.
pub fn check_choice(choice: &Choice<'_>, tools: &[Entry<'_>], searches: bool) -> Result<(), Error> {
    match choice {
        Choice::Required if tools.is_empty() && !searches => Err(Error::invalid(
            "tool_choice",
            "'tool_choice' is 'required', but there are no 'tools'.",
        )),
        Choice::Named(name) if !tools.iter().any(|tool| tool.client == *name) => {
            Err(Error::invalid(
                "tool_choice.function.name",
                "'tool_choice' names a tool that is not in 'tools'.",
            ))
        }
        _ => Ok(()),
    }
}

/// Returns the `toolChoice` closest to `choice`. If the model cannot be forced, sets an instruction in `plan` and returns
/// `None`.
pub fn force<'a>(
    choice: &Choice<'_>,
    json_tool: Option<&JsonTool<'a>>,
    list: &mut Vec<Entry<'a>>,
    reasons: bool,
    plan: &mut Tools<'a>,
    cx: &Context<'a>,
) -> Result<Option<ToolChoice<'a>>, Error> {
    let facts: &Facts = &cx.model.facts;
    let may = |mode| {
        facts.tool_choice.contains(&mode) && (!reasons || facts.forced_choice_while_reasoning)
    };
    let wanted = match (choice, json_tool) {
        // The model may call the client's tools as well as the JSON tool.
        (Choice::Auto | Choice::None, Some(_)) if list.len() > 1 && !plan.mute => None,
        (Choice::Auto | Choice::None, Some(tool)) => Some(tool.name.as_ref()),
        (Choice::Auto | Choice::None, None) => return Ok(None),
        (Choice::Named(name), _) => {
            let named = list.iter().find(|entry| entry.client == *name);
            named.and_then(|entry| match &entry.tool {
                Tool::ToolSpec(spec) => Some(spec.name.as_ref()),
                Tool::ClientTool { name, .. } => Some(*name),
                Tool::CachePoint(_) | Tool::SystemTool { .. } => None,
            })
        }
        (Choice::Required | Choice::Allowed { .. }, _) => None,
    };
    if list
        .iter()
        .all(|entry| matches!(entry.tool, Tool::SystemTool { .. }))
    {
        cx.warnings
            .add("tool_choice: sent as 'auto' (tools that AWS runs cannot be forced)");
        return Ok(None);
    }
    let wanted = wanted.map(str::to_owned);
    Ok(match wanted {
        Some(name) if may(ToolChoiceMode::Tool) => Some(ToolChoice::Tool {
            name: Cow::Owned(name),
        }),
        Some(name) if may(ToolChoiceMode::Any) => {
            marks::retain(
                list,
                |entry| matches!(&entry.tool, Tool::ToolSpec(spec) if spec.name == name),
            );
            cx.warnings
                .add("tool_choice: emulated by sending only the named tool");
            Some(ToolChoice::Any {})
        }
        None if may(ToolChoiceMode::Any) => Some(ToolChoice::Any {}),
        wanted => {
            let sentence = match wanted {
                Some(name) => format!("Answer by calling the tool '{name}', and in no other way."),
                None => "Answer by calling at least one of the tools.".to_owned(),
            };
            plan.instruction = Some(sentence);
            cx.warnings.add(
                "tool_choice: emulated by an instruction (the model cannot be forced to call a tool)",
            );
            None
        }
    })
}

/// Returns Anthropic's form of a tool choice with parallel tool calls disabled.
pub fn with_one_call(forced: Option<&ToolChoice<'_>>) -> Value {
    match forced {
        None => json!({"type": "auto", "disable_parallel_tool_use": true}),
        Some(ToolChoice::Any {}) => json!({"type": "any", "disable_parallel_tool_use": true}),
        Some(ToolChoice::Tool { name }) => {
            json!({"type": "tool", "name": name, "disable_parallel_tool_use": true})
        }
    }
}
