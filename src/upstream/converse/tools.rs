//! Tools and tool choice.

use std::{borrow::Cow, collections::HashSet};

use serde_json::{Map, Value, value::RawValue};

mod forced;
mod history;

use forced::{check, force, with_one_call};
use history::{called, rebuilt};

use super::{
    Context, caching,
    choice::Choice,
    messages::owned,
    names::Names,
    schema,
    structured::{JsonTool, Structured},
};
use crate::{
    bedrock::{
        content::CachePointBlock,
        request::{Tool, ToolConfig, ToolInputSchema, ToolSpecification},
    },
    call::Warnings,
    error::Error,
    openai::chat::Function,
    operation::chat::{Chat, Message, Part, WEB_SEARCH},
};

/// What follows from `tools`, `tool_choice`, their legacy forms, and the tools of the history.
#[derive(Debug, Default)]
pub struct Tools<'a> {
    pub config: Option<ToolConfig<'a>>,
    /// Sent names of tools whose input is text.
    pub custom: HashSet<String>,
    /// Calls of the model are not for the client.
    pub mute: bool,
    /// Only the first call is for the client.
    pub one_call: bool,
    /// A sentence for the system prompt, where a choice cannot be forced.
    pub instruction: Option<String>,
    /// Members of `additionalModelRequestFields`.
    pub fields: Map<String, Value>,
}

/// Registers every name that the request uses, in its own spelling where that may be sent.
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
            .chain(called(messages).into_iter().map(|call| call.0)),
    );
    names
}

/// # Errors
/// A 400 that names the tool, or the choice that cannot be made.
pub fn plan<'a>(
    request: &'a Chat,
    structured: &Structured<'a>,
    reasons: bool,
    names: &mut Names<'a>,
    cx: &Context<'a>,
) -> Result<Tools<'a>, Error> {
    let mut build = Build {
        cx,
        list: Vec::new(),
        seen: HashSet::new(),
        custom: HashSet::new(),
    };
    build.declared(request, names)?;
    let called = called(cx.messages);
    let mut choice = Choice::of(request)?;
    if let Choice::Allowed { tools, .. } = &choice {
        build.keep(tools)?;
    }
    let choice = choice.take_mode()?;
    check(&choice, &build.list, wants_web_search(request).is_some())?;
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
                "tool_choice: 'none' is emulated, calls of the model are left out of the answer",
            );
        }
    }
    if !build.list.is_empty() && !cx.model.facts.tools {
        return Err(Error::invalid("tools", "This model takes no tools.")
            .with_code("unsupported_parameter"));
    }
    // Converse refuses a history with tool blocks unless tools are declared.
    if build.list.is_empty() && !called.is_empty() && cx.model.facts.tools {
        cx.warnings.add(
            "tools: rebuilt from the calls in the history, which Converse refuses without them",
        );
        build.list = rebuilt(&called, names);
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
                "parallel_tool_calls: emulated, only the first call of the model is passed on",
            );
        }
    }
    plan.custom = build.custom;
    if !build.list.is_empty() {
        // Anthropic's own member says the same, and the service refuses both.
        let tool_choice = forced.filter(|_| plan.fields.is_empty());
        plan.config = Some(ToolConfig {
            tools: build.list.into_iter().map(|entry| entry.tool).collect(),
            tool_choice,
        });
        marks(request, &mut plan, cx.warnings);
    }
    Ok(plan)
}

/// The client wants the model to search the web by itself.
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

/// One tool, under the name that the client gave it.
struct Entry<'a> {
    client: &'a str,
    tool: Tool<'a>,
}

struct Build<'a, 'n> {
    cx: &'n Context<'a>,
    list: Vec<Entry<'a>>,
    seen: HashSet<&'a str>,
    custom: HashSet<String>,
}

impl<'a> Build<'a, '_> {
    fn declared(&mut self, request: &'a Chat, names: &mut Names<'a>) -> Result<(), Error> {
        for (index, tool) in request.tools.iter().flatten().enumerate() {
            if let Some(function) = &tool.function {
                self.function(function, names, &format!("tools[{index}].function"))?;
            } else if let Some(custom) = &tool.custom
                && self.is_new(&custom.name)
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
                        "tools[{index}].custom.format: the grammar was put into the description"
                    ));
                    description.push_str(&format!(
                        "\nThe input must follow this format: {}",
                        grammar.get()
                    ));
                }
                let schema =
                    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#.to_owned();
                let tool = specification(name, Some(&description), owned(schema), None);
                self.list.push(Entry {
                    client: &custom.name,
                    tool,
                });
            }
        }
        for (index, function) in request.functions.iter().flatten().enumerate() {
            self.function(function, names, &format!("functions[{index}]"))?;
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: &'a Function,
        names: &mut Names<'a>,
        at: &str,
    ) -> Result<(), Error> {
        if !self.is_new(&function.name) {
            return Ok(());
        }
        let facts = &self.cx.model.facts;
        let strict = function.strict == Some(true);
        if strict && !facts.strict_tools {
            self.cx
                .warnings
                .dropped(format!("{at}.strict"), "the model does not honour it");
        }
        let strict = strict && facts.strict_tools;
        let schema = schema::of_tool(
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
        });
        Ok(())
    }

    /// A tool that AWS runs itself: asked for, or needed because its blocks stand in the history.
    fn web_search(&mut self, request: &'a Chat) -> Result<(), Error> {
        let asked = wants_web_search(request);
        let is_server_tool = |part: &Part| matches!(part, Part::ServerTool(_));
        let seen = self
            .cx
            .messages
            .iter()
            .any(|message| message.parts.iter().any(is_server_tool));
        match (&self.cx.model.facts.web_search, asked) {
            (Some(name), asked) if asked.is_some() || seen => {
                if request
                    .web_search_options
                    .as_deref()
                    .is_some_and(|options| options.get() != "{}")
                {
                    self.cx.warnings.dropped(
                        "web_search_options",
                        "the model's own search takes no options",
                    );
                }
                self.list.push(Entry {
                    client: "",
                    tool: Tool::SystemTool { name },
                });
                Ok(())
            }
            (None, Some(param)) => {
                let text = "This model cannot search the web. GET /v1/models tells which can ('web_search').";
                Err(Error::invalid(param, text).with_code("unsupported_parameter"))
            }
            _ => Ok(()),
        }
    }

    fn is_new(&mut self, name: &'a str) -> bool {
        let new = self.seen.insert(name);
        if !new {
            self.cx.warnings.add(format!(
                "tools: '{name}' is there twice; the first was sent"
            ));
        }
        new
    }

    fn keep(&mut self, allowed: &[&str]) -> Result<(), Error> {
        let allowed: HashSet<&str> = allowed.iter().copied().collect();
        if let Some(unknown) = allowed.iter().find(|name| !self.seen.contains(**name)) {
            return Err(Error::invalid(
                "tool_choice.allowed_tools.tools",
                format!("'{unknown}' is allowed, but is not in 'tools'."),
            ));
        }
        self.list.retain(|entry| allowed.contains(entry.client));
        self.cx.warnings.add("tool_choice.allowed_tools: the other tools were not sent, which changes the cached prefix");
        Ok(())
    }
}

fn specification<'a>(
    name: Cow<'a, str>,
    description: Option<&str>,
    json: Cow<'a, RawValue>,
    strict: Option<bool>,
) -> Tool<'a> {
    // The service wants at least one character.
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

/// The client's cache marks among the tools.
fn marks(request: &Chat, plan: &mut Tools<'_>, warnings: &Warnings) {
    let Some(config) = &mut plan.config else {
        return;
    };
    // Behind the last marked tool all tools before it are cached too.
    let marked = request
        .tools
        .as_deref()
        .unwrap_or_default()
        .iter()
        .rposition(|tool| tool.cache_control.is_some());
    let Some(at) = marked else { return };
    let control = request
        .tools
        .iter()
        .flatten()
        .nth(at)
        .and_then(|tool| tool.cache_control.as_ref());
    let point = control.map_or_else(
        || CachePointBlock::new(None),
        |control| caching::point(control, warnings),
    );
    let at = (at + 1).min(config.tools.len());
    config.tools.insert(at, Tool::CachePoint(point));
}
