//! Translates tools and the tool choice.

use std::{borrow::Cow, collections::HashSet};

use serde_json::{Map, Value, value::RawValue};

mod forced;
mod history;
mod marks;

use forced::{check_choice, force, with_one_call};
use history::{called_tools, rebuild_tools};

use super::{
    Context,
    choice::Choice,
    messages::raw_json,
    names::Names,
    schema,
    structured::{JsonTool, Structured},
};
use crate::{
    bedrock::request::{Tool, ToolConfig, ToolInputSchema, ToolSpecification},
    error::Error,
    openai::{chat::Function, message::CacheControl},
    operation::chat::{Chat, Message, Part, WEB_SEARCH},
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

/// Registers the names of all tools in the request and its history. Valid names are sent unchanged.
pub fn names<'a>(request: &'a Chat, messages: &'a [Message]) -> Names<'a> {
    let mut names = Names::default();
    let functions = request.tools.iter().flatten().filter_map(|tool| {
        let function = tool
            .function
            .as_ref()
            .map(|function| function.name.as_str());
        function.or(tool.custom.as_ref().map(|custom| custom.name.as_str()))
    });
    let legacy = request
        .functions
        .iter()
        .flatten()
        .map(|function| function.name.as_str());
    names.reserve(
        functions
            .chain(legacy)
            .chain(called_tools(messages).into_iter().map(|call| call.0)),
    );
    names
}

/// Translates the tools and the tool choice of `request`.
///
/// # Errors
/// 400 with the path of the tool or of the choice that is not supported.
pub fn plan<'a>(
    request: &'a Chat,
    structured: &Structured<'a>,
    reasons: bool,
    names: &mut Names<'a>,
    cx: &Context<'a>,
) -> Result<Tools<'a>, Error> {
    let mut build = ToolListBuilder {
        cx,
        list: Vec::new(),
        seen: HashSet::new(),
        custom: HashSet::new(),
    };
    build.declared(request, names)?;
    let called = called_tools(cx.messages);
    let mut choice = Choice::of(request)?;
    if let Choice::Allowed { tools, .. } = &choice {
        build.keep_allowed(tools)?;
    }
    let choice = choice.take_mode()?;
    check_choice(&choice, &build.list, wants_web_search(request).is_some())?;
    let mut plan = Tools::default();
    if choice != Choice::None {
        build.web_search(request)?;
    }
    if choice == Choice::None {
        if called.is_empty() || !cx.model.facts.tools {
            build.list.clear();
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
    }) = json_tool
    {
        build.list.push(Entry {
            client: "",
            tool: specification(name.clone(), Some(description), schema.clone(), None),
            mark: None,
        });
    }
    let forced = force(&choice, json_tool, &mut build.list, reasons, &mut plan, cx)?;
    let one_call = request.parallel_tool_calls == Some(false) || request.functions.is_some();
    if one_call && !build.list.is_empty() && !plan.mute {
        if cx.model.facts.disable_parallel {
            plan.fields
                .insert("tool_choice".to_owned(), with_one_call(forced.as_ref()));
        } else {
            plan.one_call = true;
            cx.warnings.add(
                "parallel_tool_calls: emulated by discarding all calls but the first (the model has no such parameter)",
            );
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

/// Returns the parameter that requests web search, if any.
fn wants_web_search(request: &Chat) -> Option<&'static str> {
    let tool = request
        .tools
        .iter()
        .flatten()
        .any(|tool| WEB_SEARCH.contains(&tool.kind.as_str()));
    let options = request.web_search_options.is_some();
    if tool {
        Some("tools")
    } else {
        options.then_some("web_search_options")
    }
}

/// A tool and the client's name for it.
struct Entry<'a> {
    /// Empty for tools that the gateway adds.
    client: &'a str,
    tool: Tool<'a>,
    /// The client's mark of the end of a prefix to cache.
    mark: Option<&'a CacheControl>,
}

/// Builds the list of tools.
struct ToolListBuilder<'a, 'n> {
    cx: &'n Context<'a>,
    list: Vec<Entry<'a>>,
    /// The client's names so far.
    seen: HashSet<&'a str>,
    /// Sent names of custom tools.
    custom: HashSet<String>,
}

impl<'a> ToolListBuilder<'a, '_> {
    /// Adds the tools that the request declares.
    fn declared(&mut self, request: &'a Chat, names: &mut Names<'a>) -> Result<(), Error> {
        for (index, tool) in request.tools.iter().flatten().enumerate() {
            let mark = tool.cache_control.as_ref();
            if let Some(function) = &tool.function {
                let at = format!("tools[{index}].function");
                self.function(function, mark, names, &at)?;
            } else if let Some(custom) = &tool.custom
                && self.register(&custom.name, mark)
            {
                let name = names.sent(&custom.name);
                self.custom.insert(name.clone().into_owned());
                let mut description = custom
                    .description
                    .clone()
                    .unwrap_or_else(|| custom.name.clone());
                if let Some(grammar) = custom
                    .format
                    .as_deref()
                    .filter(|format| format.get().contains("grammar"))
                {
                    self.cx.warnings.add(format!(
                        "tools[{index}].custom.format: the grammar was moved into the description (Converse has no such parameter)"
                    ));
                    description.push_str(&format!(
                        "\nThe input must follow this format: {}",
                        grammar.get()
                    ));
                }
                let schema =
                    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#.to_owned();
                let tool = specification(name, Some(&description), raw_json(schema), None);
                self.list.push(Entry {
                    client: &custom.name,
                    tool,
                    mark,
                });
            }
        }
        for (index, function) in request.functions.iter().flatten().enumerate() {
            self.function(function, None, names, &format!("functions[{index}]"))?;
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: &'a Function,
        mark: Option<&'a CacheControl>,
        names: &mut Names<'a>,
        at: &str,
    ) -> Result<(), Error> {
        let mark = mark.or(function.cache_control.as_ref());
        if !self.register(&function.name, mark) {
            return Ok(());
        }
        let facts = &self.cx.model.facts;
        let strict = function.strict == Some(true);
        if strict && !facts.strict_tools {
            self.cx.warnings.dropped(
                format!("{at}.strict"),
                "the model does not support strict tools",
            );
        }
        let strict = strict && facts.strict_tools;
        let schema = schema::for_tool(
            function.parameters.as_deref(),
            strict,
            facts,
            &format!("{at}.parameters"),
            self.cx.warnings,
        )?;
        let name = names.sent(&function.name);
        let tool = specification(
            name,
            function.description.as_deref(),
            schema,
            strict.then_some(true),
        );
        self.list.push(Entry {
            client: &function.name,
            tool,
            mark,
        });
        Ok(())
    }

    /// Adds the web search tool, which AWS runs, if the request asks for it or the history has blocks of it.
    fn web_search(&mut self, request: &'a Chat) -> Result<(), Error> {
        let requested = wants_web_search(request);
        let is_server_tool = |part: &Part| matches!(part, Part::ServerTool(_));
        let seen = self
            .cx
            .messages
            .iter()
            .any(|message| message.parts.iter().any(is_server_tool));
        match (&self.cx.model.facts.web_search, requested) {
            (Some(name), requested) if requested.is_some() || seen => {
                if request
                    .web_search_options
                    .as_deref()
                    .is_some_and(|options| options.get() != "{}")
                {
                    self.cx.warnings.dropped(
                        "web_search_options",
                        "the web search of this model has no options",
                    );
                }
                let tools = request.tools.iter().flatten();
                let searches = tools.filter(|tool| WEB_SEARCH.contains(&tool.kind.as_str()));
                self.list.push(Entry {
                    client: "",
                    tool: Tool::SystemTool { name },
                    mark: searches
                        .filter_map(|tool| tool.cache_control.as_ref())
                        .next(),
                });
                Ok(())
            }
            (None, Some(param)) => {
                let text = "This model does not support web search. GET /v1/models lists the models that do ('web_search').";
                Err(Error::invalid(param, text).with_code("unsupported_parameter"))
            }
            _ => Ok(()),
        }
    }

    /// Registers a tool name. Returns false and warns if it is a duplicate, whose mark then goes to the tool before it.
    fn register(&mut self, name: &'a str, mark: Option<&'a CacheControl>) -> bool {
        let new = self.seen.insert(name);
        if !new {
            marks::mark_last(&mut self.list, mark);
            self.cx.warnings.add(format!(
                "tools: only the first '{name}' was sent (the name is not unique)"
            ));
        }
        new
    }

    /// Removes all tools but the allowed ones.
    fn keep_allowed(&mut self, allowed: &[&str]) -> Result<(), Error> {
        let allowed: HashSet<&str> = allowed.iter().copied().collect();
        if let Some(unknown) = allowed.iter().find(|name| !self.seen.contains(**name)) {
            return Err(Error::invalid(
                "tool_choice.allowed_tools.tools",
                format!("'{unknown}' is not in 'tools'."),
            ));
        }
        marks::retain(&mut self.list, |entry| allowed.contains(entry.client));
        self.cx.warnings.add("tool_choice.allowed_tools: the other tools were not sent (this changes the cached prefix)");
        Ok(())
    }
}

fn specification<'a>(
    name: Cow<'a, str>,
    description: Option<&str>,
    json: Cow<'a, RawValue>,
    strict: Option<bool>,
) -> Tool<'a> {
    // The service requires a description of at least one character.
    let description = description
        .filter(|text| !text.trim().is_empty())
        .map(str::to_owned);
    let description = description.map_or_else(|| name.clone(), Cow::Owned);
    Tool::ToolSpec(ToolSpecification {
        name,
        description,
        input_schema: ToolInputSchema { json },
        strict,
    })
}
