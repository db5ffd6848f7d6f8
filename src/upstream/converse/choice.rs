//! Parses `tool_choice`.

use crate::{error::Error, openai::tool_choice, operation::chat::Chat};

/// `tool_choice`, or the legacy `function_call`.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The model decides.
    Auto,
    /// The model must not call a tool.
    None,
    /// The model must call at least one tool.
    Required,
    /// The model must call the named tool.
    Named(&'a str),
    /// `allowed_tools`: `mode` applies to a subset of the tools.
    Allowed { mode: &'a str, tools: Vec<&'a str> },
}

impl<'a> Choice<'a> {
    /// Returns the tool choice of `request`.
    ///
    /// # Errors
    /// 400 if the mode is unknown.
    pub fn of(request: &'a Chat) -> Result<Self, Error> {
        let choice = request
            .tool_choice
            .as_ref()
            .or(request.function_call.as_ref());
        match choice {
            None => Ok(Self::Auto),
            Some(tool_choice::ToolChoice::Mode(mode)) => Self::mode(mode),
            Some(tool_choice::ToolChoice::Named(name)) => Ok(Self::Named(name)),
            Some(tool_choice::ToolChoice::Allowed { mode, tools, .. }) => Ok(Self::Allowed {
                mode,
                tools: tools.iter().map(String::as_str).collect(),
            }),
        }
    }

    fn mode(mode: &str) -> Result<Self, Error> {
        match mode {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "required" => Ok(Self::Required),
            _ => Err(Error::invalid(
                "tool_choice",
                "'tool_choice' must be 'none', 'auto', 'required' or an object that names a tool.",
            )),
        }
    }

    /// Replaces `allowed_tools` with its mode. The caller removes the other tools.
    ///
    /// # Errors
    /// 400 if the mode is not `auto` or `required`.
    pub fn take_mode(&mut self) -> Result<Self, Error> {
        match std::mem::replace(self, Self::Auto) {
            Self::Allowed {
                mode: mode @ ("auto" | "required"),
                ..
            } => Self::mode(mode),
            Self::Allowed { .. } => Err(Error::invalid(
                "tool_choice.allowed_tools.mode",
                "'mode' must be 'auto' or 'required'.",
            )),
            other => Ok(other),
        }
    }
}
