//! Converts the tool choice.

use serde_json::value::RawValue;

use super::{
    item,
    names::{TOOL_SEARCH, ToolNames},
    tools::{Tools, is_web_search, unavailable},
};
use crate::{
    error::Error,
    openai::{knowledge_base::FILE_SEARCH, responses::served::Choice, tool_choice::ToolChoice},
    operation::chat::WEB_SEARCH,
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
            "required" if !tools.can_call() && !tools.has_file_search() => Err(Error::invalid(
                "tool_choice",
                "'tool_choice' is 'required', but there is no tool that the model can call.",
            )),
            // The gateway always searches.
            "required" if !tools.can_call() => Ok(None),
            "auto" | "none" | "required" => Ok(tools.can_call().then_some(ToolChoice::Mode(mode))),
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
            let text = match tools.has(&sent) {
                true => return Ok(Some(ToolChoice::Named(sent))),
                false if tools.is_deferred(&sent) => {
                    "'tool_choice' names a tool with 'defer_loading', which the model does not have yet. Omit 'defer_loading'."
                }
                false => "'tool_choice' must name one of the 'tools'.",
            };
            Err(Error::invalid("tool_choice.name", text))
        }
        "allowed_tools" => allowed(choice, tools, names).map(Some),
        TOOL_SEARCH if names.is_search(TOOL_SEARCH) => {
            Ok(Some(ToolChoice::Named(TOOL_SEARCH.to_owned())))
        }
        // The gateway always searches, so the model chooses freely among the other tools.
        FILE_SEARCH if tools.has_file_search() => Ok(None),
        kind if is_web_search(kind) && tools.has_web_search() => {
            Ok(Some(ToolChoice::Mode("required".to_owned())))
        }
        kind => {
            let kind: String = kind.chars().take(40).collect();
            Err(unavailable("tool_choice.type".to_owned(), &kind))
        }
    }
}

/// Returns the allowed tools, without those that are not available.
///
/// # Errors
/// 400 if the model must call a tool, and none of the allowed ones is available.
fn allowed(choice: Choice, tools: &Tools, names: &mut ToolNames) -> Result<ToolChoice, Error> {
    let (mut allowed, mut hosted) = (Vec::new(), Vec::new());
    for tool in choice.tools.unwrap_or_default() {
        match tool.kind.as_str() {
            FILE_SEARCH => hosted.push(FILE_SEARCH.to_owned()),
            kind if is_web_search(kind) && tools.has_web_search() => {
                hosted.push(WEB_SEARCH[0].to_owned());
            }
            TOOL_SEARCH if names.is_search(TOOL_SEARCH) => allowed.push(TOOL_SEARCH.to_owned()),
            _ => {
                let name = tool.name.unwrap_or_default();
                let sent = names.sent(tool.namespace.as_deref(), &name);
                if tools.has(&sent) || tools.is_deferred(&sent) {
                    allowed.push(sent);
                }
            }
        }
    }
    let mode = choice.mode.unwrap_or_else(|| "auto".to_owned());
    if mode == "required" && allowed.is_empty() && hosted.is_empty() {
        let text = "'tool_choice' is 'required', but none of the allowed tools is available.";
        return Err(Error::invalid("tool_choice.tools", text));
    }
    Ok(ToolChoice::Allowed {
        mode,
        tools: allowed,
        hosted,
    })
}
