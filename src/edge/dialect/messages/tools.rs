//! Converts tools and the tool choice.

use std::collections::HashSet;

use super::super::chat_completions::check_tools;
use crate::{
    anthropic::{
        content::{Block, Content, Message},
        request::{Tool as WireTool, ToolChoice as WireChoice},
    },
    call::Warnings,
    error::Error,
    openai::{
        chat::{Function, Tool},
        tool_choice::ToolChoice,
    },
};

/// The name of a tool by which Claude Code makes Claude load deferred tools. It has no other use.
const PLACEHOLDER: &str = "DeferredToolPlaceholder";

/// The type of the web search in chats, and the name that Anthropic's has.
const SEARCH: &str = "web_search";

/// The start of the types of tools that a client runs, and whose form only Claude knows.
const CLIENT_TOOLS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];

/// Converts the tools that the model can see. Deferred tools are left out until the conversation refers to them, and so are
/// tools that Anthropic runs, if there are others.
///
/// # Errors
/// 400 with the invalid tool.
pub fn tools(
    tools: Option<Vec<WireTool>>,
    messages: &[Message],
    warnings: &Warnings,
) -> Result<Vec<Tool>, Error> {
    let tools = tools.unwrap_or_default();
    let used = match tools.iter().any(|tool| tool.defer_loading == Some(true)) {
        true => names_in_use(messages),
        false => HashSet::new(),
    };
    let (mut hosted, mut has_deferred) = (Vec::new(), false);
    let mut converted = Vec::with_capacity(tools.len());
    for (index, tool) in tools.into_iter().enumerate() {
        let at = format!("tools[{index}]");
        let is_hidden = tool.name == PLACEHOLDER || !used.contains(tool.name.as_str());
        match tool.kind.clone().as_deref() {
            _ if tool.defer_loading == Some(true) && is_hidden => has_deferred = true,
            None | Some("custom") => converted.push(function(tool, &at)?),
            Some(kind) if CLIENT_TOOLS.iter().any(|start| kind.starts_with(start)) => {
                return Err(unsupported(
                    kind,
                    &at,
                    "Declare it as a tool with an 'input_schema'",
                ));
            }
            Some(_) => hosted.push((at, tool)),
        }
    }
    let has_others = !converted.is_empty() || has_deferred;
    add_search(hosted, has_others, &mut converted, warnings)?;
    Ok(converted)
}

/// Decides about the tools that Anthropic runs. Among other tools they are dropped. Alone, they are what the client wants, and
/// an answer without them would be wrong. Some models search the web themselves.
fn add_search(
    mut hosted: Vec<(String, WireTool)>,
    has_others: bool,
    converted: &mut Vec<Tool>,
    warnings: &Warnings,
) -> Result<(), Error> {
    let is_search = |(_, tool): &(String, WireTool)| {
        let kind = tool.kind.as_deref();
        kind.is_some_and(|kind| kind.starts_with("web_search_"))
    };
    let kind = |tool: &WireTool| -> String {
        let kind = tool.kind.as_deref().unwrap_or_default();
        kind.chars().take(40).collect()
    };
    if !has_others && let Some(at) = hosted.iter().position(is_search) {
        converted.push(search(hosted.remove(at).1));
        hosted.retain(|tool| !is_search(tool));
    } else if !has_others && let Some((at, tool)) = hosted.first() {
        let advice = "Omit it, or use a tool of the client";
        return Err(unsupported(&kind(tool), at, advice));
    }
    for (at, tool) in hosted {
        let kind = kind(&tool);
        warnings.add(format!(
            "{at}: dropped (this gateway has no tool of type '{kind}')"
        ));
    }
    Ok(())
}

/// Converts the choice among `tools`, and returns whether the model may make several calls at once.
///
/// # Errors
/// 400 if the type is unknown, a name is missing, or the model must call a tool that it does not have.
pub fn choice(
    choice: Option<WireChoice>,
    tools: &[Tool],
) -> Result<(Option<ToolChoice>, Option<bool>), Error> {
    let Some(choice) = choice else {
        return Ok((None, None));
    };
    let parallel = (choice.disable_parallel_tool_use == Some(true)).then_some(false);
    let mode = |mode: &str| ToolChoice::Mode(mode.to_owned());
    let is_function = |tool: &Tool, name: &str| {
        let function = tool.function.as_ref();
        function.is_some_and(|function| function.name == name)
    };
    let converted = match (choice.kind.as_str(), choice.name) {
        ("auto" | "none", _) if tools.is_empty() => return Ok((None, parallel)),
        ("auto", _) => mode("auto"),
        ("none", _) => mode("none"),
        ("any", _) if tools.is_empty() => {
            let text = "A tool choice of type 'any' needs a tool that the model can call.";
            return Err(Error::invalid("tool_choice", text));
        }
        ("any", _) => mode("required"),
        ("tool", Some(name)) if tools.iter().any(|tool| is_function(tool, &name)) => {
            ToolChoice::Named(name)
        }
        // It is the only tool then.
        ("tool", Some(name)) if name == SEARCH && tools.iter().any(is_search_tool) => {
            mode("required")
        }
        ("tool", Some(_)) => {
            let text = "'name' must be that of a tool that the model can call: one of 'tools' that is neither deferred nor dropped.";
            return Err(Error::invalid("tool_choice.name", text));
        }
        ("tool", None) => {
            let text = "A tool choice of type 'tool' needs 'name'.";
            return Err(Error::invalid("tool_choice.name", text));
        }
        _ => {
            let text = "'type' must be 'auto', 'any', 'tool' or 'none'.";
            return Err(Error::invalid("tool_choice.type", text));
        }
    };
    Ok((Some(converted), parallel))
}

fn function(tool: WireTool, at: &str) -> Result<Tool, Error> {
    let Some(schema) = tool.input_schema else {
        let text = "A tool needs an 'input_schema'.";
        return Err(Error::invalid(format!("{at}.input_schema"), text)
            .with_code("missing_required_parameter"));
    };
    let function = Function {
        name: tool.name,
        description: tool.description,
        parameters: Some(schema),
        strict: tool.strict,
        cache_control: None,
    };
    check_tools::check_function(&function, &|member| match member {
        "parameters" => format!("{at}.input_schema"),
        member => format!("{at}.{member}"),
    })?;
    Ok(Tool {
        kind: "function".to_owned(),
        function: Some(function),
        cache_control: tool.cache_control,
        at: Some(at.to_owned()),
        ..empty()
    })
}

fn is_search_tool(tool: &Tool) -> bool {
    tool.kind == SEARCH
}

fn search(tool: WireTool) -> Tool {
    Tool {
        kind: SEARCH.to_owned(),
        cache_control: tool.cache_control,
        ..empty()
    }
}

fn empty() -> Tool {
    Tool {
        kind: String::new(),
        function: None,
        custom: None,
        cache_control: None,
        vector_store_ids: None,
        max_num_results: None,
        ranking_options: None,
        filters: None,
        file_search: None,
        at: None,
    }
}

fn unsupported(kind: &str, at: &str, advice: &str) -> Error {
    let kind: String = kind.chars().take(40).collect();
    let text = format!("This gateway has no tool of type '{kind}'. {advice}.");
    Error::invalid(format!("{at}.type"), text).with_code("unsupported_parameter")
}

/// Returns the names of all tools that the conversation calls or refers to.
fn names_in_use(messages: &[Message]) -> HashSet<&str> {
    fn collect<'a>(blocks: &'a [Block], names: &mut HashSet<&'a str>) {
        for block in blocks {
            let name = match block.kind.as_str() {
                "tool_use" => block.name.as_deref(),
                "tool_reference" => block.tool_name.as_deref(),
                _ => None,
            };
            names.extend(name);
            if let Some(Content::Blocks(inner)) = &block.content {
                collect(inner, names);
            }
        }
    }
    let mut names = HashSet::new();
    for message in messages {
        if let Content::Blocks(blocks) = &message.content {
            collect(blocks, &mut names);
        }
    }
    names
}
