//! Translates tools and the tool choice.

use std::collections::HashSet;

use serde_json::{Map, Value};

mod forced;
mod history;
mod list;
mod marks;

use forced::{check_choice, force, with_one_call};
use history::{called_tools, rebuild_tools};
use list::{Entry, ToolListBuilder, has_server_tools, specification, wants_web_search};

use super::{
    Context,
    choice::Choice,
    names::Names,
    schema::StrictBudget,
    structured::{JsonTool, Structured},
};
use crate::{
    bedrock::request::{Tool, ToolConfig},
    error::Error,
    operation::chat::Chat,
};

/// The result of translating `tools`, `tool_choice`, their legacy forms, and the tool calls of the history.
#[derive(Debug, Default)]
pub struct Tools<'a> {
    /// `toolConfig`; absent without tools.
    pub config: Option<ToolConfig<'a>>,
    /// Sent names of custom tools, whose input is text.
    pub custom: HashSet<String>,
    /// Whether to discard all calls of the model.
    pub mute: bool,
    /// Whether to discard all calls after the first.
    pub one_call: bool,
    /// A sentence for the system prompt that replaces a tool choice that cannot be forced.
    pub instruction: Option<String>,
    /// Members of `additionalModelRequestFields`.
    pub fields: Map<String, Value>,
}

/// Registers the names of all tools in the request and its history. Valid names are sent unchanged, except the name of the
/// web search tool if the request has that too.
pub fn names<'a>(request: &'a Chat, cx: &Context<'a>) -> Names<'a> {
    let mut names = Names::of(cx.model.facts.tool_names);
    if let Some(search) = &cx.model.facts.web_search
        && (wants_web_search(request).is_some() || has_server_tools(cx.messages))
    {
        names.occupy(search);
    }
    let functions = request.tools.iter().flatten().filter_map(|tool| {
        let function = tool
            .function
            .as_ref()
            .map(|function| function.name.as_str());
        let custom = tool.custom.as_ref().map(|custom| custom.name.as_str());
        let client = tool.client_tool.as_ref().map(|tool| tool.name.as_str());
        function.or(custom).or(client)
    });
    let legacy = request
        .functions
        .iter()
        .flatten()
        .map(|function| function.name.as_str());
    names.reserve(
        functions
            .chain(legacy)
            .chain(called_tools(cx.messages).into_iter().map(|call| call.0)),
    );
    names
}

/// Translates the tools and the tool choice of `request`. Strict tools take their share of `strict`.
///
/// # Errors
/// 400 with the path of the tool or of the choice that is not supported.
pub fn plan<'a>(
    request: &'a Chat,
    structured: &Structured<'a>,
    reasons: bool,
    names: &mut Names<'a>,
    strict: &mut StrictBudget,
    cx: &Context<'a>,
) -> Result<Tools<'a>, Error> {
    let mut choice = Choice::of(request)?;
    let allowed = match &choice {
        Choice::Allowed { tools, .. } => Some(tools.clone()),
        _ => None,
    };
    let mut build = ToolListBuilder::new(allowed, strict, cx);
    build.declared(request, names)?;
    build.keep_allowed(request)?;
    let called = called_tools(cx.messages);
    let choice = choice.take_mode()?;
    check_choice(&choice, &build.list, wants_web_search(request).is_some())?;
    let mut plan = Tools::default();
    let searched = has_server_tools(cx.messages);
    if choice != Choice::None || searched {
        build.web_search(request)?;
    }
    if choice == Choice::None {
        if called.is_empty() || !cx.model.facts.tools {
            // Converse rejects a history with searches without the tool.
            let is_search = |entry: &Entry<'_>| matches!(entry.tool, Tool::SystemTool { .. });
            build.list.retain(is_search);
            if !build.list.is_empty() {
                cx.warnings.add(
                    "tool_choice: 'none' does not turn off web search (Converse rejects this history without it)",
                );
            }
        } else if !build.list.is_empty() {
            plan.mute = true;
            cx.warnings.add(
                "tool_choice: 'none' is emulated by discarding calls (Converse rejects this history without tools)",
            );
        }
    }
    if !build.list.is_empty() && !cx.model.facts.tools {
        return Err(
            Error::invalid("tools", "This model does not support tools.")
                .with_code("unsupported_parameter"),
        );
    }
    // Converse rejects a history with tool blocks unless tools are declared.
    if build.list.is_empty() && !called.is_empty() && cx.model.facts.tools {
        cx.warnings.add(
            "tools: rebuilt from the calls in the history (Converse rejects this history without tools)",
        );
        build.list = rebuild_tools(&called, names);
        plan.mute = true;
    }
    let json_tool = match structured {
        Structured::Tool(tool) => Some(tool),
        _ => None,
    };
    if let Some(JsonTool {
        name,
        schema,
        description,
        ..
    }) = json_tool
    {
        build.list.push(Entry {
            client: "",
            tool: specification(name.clone(), Some(description), None, schema.clone(), None),
            mark: None,
        });
    }
    let forced = force(&choice, json_tool, &mut build.list, reasons, &mut plan, cx)?;
    let one_call = request.parallel_tool_calls == Some(false) || request.functions.is_some();
    // AWS runs the search itself, so it makes no calls to discard.
    let is_callable = |entry: &Entry<'_>| !matches!(entry.tool, Tool::SystemTool { .. });
    if one_call && build.list.iter().any(is_callable) && !plan.mute {
        if cx.model.facts.disable_parallel {
            plan.fields
                .insert("tool_choice".to_owned(), with_one_call(forced.as_ref()));
        } else {
            plan.one_call = true;
            let member = match request.functions {
                Some(_) => "functions",
                None => "parallel_tool_calls",
            };
            cx.warnings.add(format!(
                "{member}: emulated by discarding all calls but the first (the model has no such parameter)"
            ));
        }
    }
    plan.custom = build.custom;
    if !build.list.is_empty() {
        // Anthropic's `tool_choice` in the additional fields includes the choice, and Bedrock rejects both together.
        let tool_choice = forced.filter(|_| plan.fields.is_empty());
        plan.config = Some(ToolConfig {
            tools: marks::with_point(build.list, cx.warnings),
            tool_choice,
        });
    }
    Ok(plan)
}
