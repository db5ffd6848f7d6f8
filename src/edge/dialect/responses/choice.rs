//! Converts the tool choice.

use serde_json::value::RawValue;

use super::{
    item,
    names::{TOOL_SEARCH, ToolNames},
    tools::{Tools, unavailable},
};
use crate::{
    error::Error,
    openai::{knowledge_base::FILE_SEARCH, responses::served::Choice, tool_choice::ToolChoice},
};

/// Returns the choice among `tools`.
///
/// # Errors
/// 400 if the choice is no mode and no tool of the request, or names a tool that is not available.
pub fn choice(
    raw: &RawValue,
    tools: &Tools,
    names: &mut ToolNames,
) -> Result<Option<ToolChoice>, Error> {
    if raw.get().starts_with('"') {
        let mode: String = item::parse(raw, "tool_choice")?;
        return match mode.as_str() {
            "auto" | "none" | "required" => Ok(Some(ToolChoice::Mode(mode))),
            _ => Err(Error::invalid(
                "tool_choice",
                "'tool_choice' must be 'auto', 'none', 'required' or an object that names a tool.",
            )),
        };
    }
    let choice: Choice = item::parse(raw, "tool_choice")?;
    match choice.kind.as_str() {
        "function" | "custom" => {
            let name = choice.name.unwrap_or_default();
            let sent = names.sent(choice.namespace.as_deref(), &name);
            match tools.knows(&sent) {
                true => Ok(Some(ToolChoice::Named(sent))),
                false => Err(Error::invalid(
                    "tool_choice.name",
                    "'tool_choice' must name one of the 'tools'.",
                )),
            }
        }
        "allowed_tools" => Ok(Some(allowed(choice, tools, names))),
        TOOL_SEARCH if names.is_search(TOOL_SEARCH) => {
            Ok(Some(ToolChoice::Named(TOOL_SEARCH.to_owned())))
        }
        // The gateway always searches, so the model chooses freely among the other tools.
        FILE_SEARCH => Ok(None),
        kind => {
            let kind: String = kind.chars().take(40).collect();
            Err(unavailable("tool_choice.type".to_owned(), &kind))
        }
    }
}

/// Returns the allowed tools, without those that are not available.
fn allowed(choice: Choice, tools: &Tools, names: &mut ToolNames) -> ToolChoice {
    let (mut allowed, mut hosted) = (Vec::new(), Vec::new());
    for tool in choice.tools.unwrap_or_default() {
        match tool.kind.as_str() {
            FILE_SEARCH => hosted.push(FILE_SEARCH.to_owned()),
            TOOL_SEARCH if names.is_search(TOOL_SEARCH) => allowed.push(TOOL_SEARCH.to_owned()),
            _ => {
                let name = tool.name.unwrap_or_default();
                let sent = names.sent(tool.namespace.as_deref(), &name);
                if tools.knows(&sent) {
                    allowed.push(sent);
                }
            }
        }
    }
    ToolChoice::Allowed {
        mode: choice.mode.unwrap_or_else(|| "auto".to_owned()),
        tools: allowed,
        hosted,
    }
}
