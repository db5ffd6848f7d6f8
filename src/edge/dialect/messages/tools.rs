//! Converts tools and the tool choice.

use std::collections::HashSet;

use serde_json::{Value, value::to_raw_value};

use super::{
    super::{
        Incoming,
        chat_completions::{check_tools, unwritable},
    },
    tool_changes::ToolChanges,
};
use crate::{
    anthropic::{
        content::{Block, Content, Message},
        request::{Tool as WireTool, ToolChoice as WireChoice},
    },
    error::Error,
    openai::{
        chat::{ClientTool, Deferral, Function, Tool},
        tool_choice::ToolChoice,
    },
    operation::chat::messages_options::{COMPUTER, DEFER_LOADING, MessagesOptions},
};

/// The name of a tool by which Claude Code makes Claude load deferred tools. It has no other use.
const PLACEHOLDER: &str = "DeferredToolPlaceholder";

/// The type of the web search in chats, and the name that Anthropic's has.
const SEARCH: &str = "web_search";

/// The start of the types of tools that a client runs, and whose form only Claude knows.
const CLIENT_TOOLS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];

/// Converts the tools. Deferred tools are marked, because most routes leave them out until the conversation refers to them.
/// Tools that Anthropic runs are left out, if there are others. Members that need a beta are added to `options`.
///
/// # Errors
/// 400 with the invalid tool.
pub fn tools(
    tools: Vec<(String, WireTool)>,
    changes: &ToolChanges,
    messages: &[Message],
    options: &mut MessagesOptions,
    request: &Incoming<'_>,
) -> Result<Vec<Tool>, Error> {
    let is_deferred = |(_, tool): &(String, WireTool)| tool.defer_loading == Some(true);
    let used = match tools.iter().any(is_deferred) {
        true => names_in_use(messages),
        false => HashSet::new(),
    };
    let mut hosted = Vec::new();
    let mut converted = Vec::with_capacity(tools.len());
    for (at, tool) in tools {
        let is_hidden = tool.name == PLACEHOLDER || !used.contains(tool.name.as_str());
        match tool.kind.clone().as_deref() {
            None | Some("custom") => {
                let is_deferred = tool.defer_loading == Some(true);
                let deferral = match is_deferred && !changes.has_added(&tool.name) {
                    true if is_hidden => Deferral::Hidden,
                    true => Deferral::Found,
                    false => Deferral::None,
                };
                if deferral != Deferral::None {
                    options.add(DEFER_LOADING, None);
                }
                converted.push(Tool {
                    deferral,
                    ..function(tool, &at)?
                });
            }
            Some(kind) if CLIENT_TOOLS.iter().any(|start| kind.starts_with(start)) => {
                if kind.starts_with("computer_") {
                    options.add(COMPUTER, None);
                }
                converted.push(client_tool(tool, &at)?);
            }
            Some(_) => hosted.push((at, tool)),
        }
    }
    add_search(hosted, &mut converted, request)?;
    Ok(converted)
}

/// Decides about the tools that Anthropic runs. Among other tools they are dropped, unless the operator wants them rejected.
/// Alone, they are what the client wants, and an answer without them would be wrong. Some models search the web themselves.
fn add_search(
    mut hosted: Vec<(String, WireTool)>,
    converted: &mut Vec<Tool>,
    request: &Incoming<'_>,
) -> Result<(), Error> {
    let has_others = !converted.is_empty();
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
    }
    let is_alone = !has_others && converted.is_empty();
    if (is_alone || request.policies.refuses_hosted_tools)
        && let Some((at, tool)) = hosted.first()
    {
        let advice = "Omit it, or use a tool of the client";
        return Err(unsupported(&kind(tool), at, advice));
    }
    for (at, tool) in hosted {
        let kind = kind(&tool);
        request.warnings.add(format!(
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
    let offered = || {
        tools
            .iter()
            .filter(|tool| tool.deferral != Deferral::Hidden)
    };
    let has_none = offered().next().is_none();
    let has = |name: &str| {
        offered().any(|tool| {
            let function = tool.function.as_ref().map(|function| &function.name);
            let client = tool.client_tool.as_ref().map(|client| &client.name);
            function.or(client).is_some_and(|own| own == name)
        })
    };
    let converted = match (choice.kind.as_str(), choice.name) {
        ("auto" | "none", _) if has_none => return Ok((None, parallel)),
        ("auto", _) => mode("auto"),
        ("none", _) => mode("none"),
        ("any", _) if has_none => {
            let text = "A tool choice of type 'any' needs a tool that the model can call.";
            return Err(Error::invalid("tool_choice", text));
        }
        ("any", _) => mode("required"),
        ("tool", Some(name)) if has(&name) => ToolChoice::Named(name),
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

/// Writes the definition of a tool that only Claude knows.
///
/// # Errors
/// 400 if its name is not valid.
fn client_tool(tool: WireTool, at: &str) -> Result<Tool, Error> {
    let kind = tool.kind.unwrap_or_default();
    check_tools::name(&tool.name, || format!("{at}.name"))?;
    let members = [
        ("type", Some(Value::from(kind.as_str()))),
        ("name", Some(tool.name.as_str().into())),
        ("display_width_px", tool.display_width_px.map(Value::from)),
        ("display_height_px", tool.display_height_px.map(Value::from)),
        ("display_number", tool.display_number.map(Value::from)),
        ("enable_zoom", tool.enable_zoom.map(Value::from)),
        ("max_characters", tool.max_characters.map(Value::from)),
    ];
    let members = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let json = to_raw_value(&Value::Object(members.collect())).map_err(unwritable)?;
    Ok(Tool {
        kind,
        cache_control: tool.cache_control,
        client_tool: Some(Box::new(ClientTool {
            name: tool.name,
            json,
        })),
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
        deferral: Deferral::None,
        client_tool: None,
        namespace: None,
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
