//! The list of tools.

use std::{borrow::Cow, collections::HashSet};

use serde_json::value::RawValue;

use super::marks;
use crate::{
    bedrock::request::{Tool, ToolInputSchema, ToolSpecification},
    error::Error,
    openai::{
        chat::{Deferral, Function},
        knowledge_base::FILE_SEARCH,
        message::CacheControl,
        tool_choice::ToolChoice,
    },
    operation::chat::{Chat, Message, Part, WEB_SEARCH},
    upstream::converse::{
        Context,
        description::with_note,
        names::Names,
        raw::raw_json,
        schema::{self, SchemaContext, StrictBudget},
    },
};

/// Returns the parameter that requests web search, if any.
pub fn wants_web_search(request: &Chat) -> Option<&'static str> {
    let is_search = |kind: &String| WEB_SEARCH.contains(&kind.as_str());
    let is_allowed = hosted(request).is_none_or(|kinds| kinds.iter().any(is_search));
    let options = request.web_search_options.is_some();
    if declares_search(request) && is_allowed {
        Some("tools")
    } else {
        options.then_some("web_search_options")
    }
}

/// Reports whether `tools` has a web search.
fn declares_search(request: &Chat) -> bool {
    let mut tools = request.tools.iter().flatten();
    tools.any(|tool| WEB_SEARCH.contains(&tool.kind.as_str()))
}

/// Returns the types of allowed tools that have no name, if the request restricts the tools.
fn hosted(request: &Chat) -> Option<&[String]> {
    match &request.tool_choice {
        Some(ToolChoice::Allowed { hosted, .. }) => Some(hosted),
        _ => None,
    }
}

/// Reports whether the history has blocks of tools that AWS runs.
pub fn has_server_tools(messages: &[Message]) -> bool {
    let is_server_tool = |part: &Part| matches!(part, Part::ServerTool(_));
    messages
        .iter()
        .any(|message| message.parts.iter().any(is_server_tool))
}

/// A tool and the client's name for it.
pub struct Entry<'a> {
    /// Empty for tools that the gateway adds.
    pub client: &'a str,
    pub tool: Tool<'a>,
    /// The client's mark of the end of a prefix to cache.
    pub mark: Option<&'a CacheControl>,
}

/// Builds the list of tools.
pub struct ToolListBuilder<'a, 'n> {
    cx: &'n Context<'a>,
    strict: &'n mut StrictBudget,
    /// The client's names of the tools that are sent. `None` if all are.
    allowed: Option<Vec<&'a str>>,
    pub list: Vec<Entry<'a>>,
    /// The client's names so far.
    seen: HashSet<&'a str>,
    /// Sent names of custom tools.
    pub custom: HashSet<String>,
}

impl<'a, 'n> ToolListBuilder<'a, 'n> {
    /// Creates an empty list. Strict tools among the allowed ones take their share of `strict`.
    pub fn new(
        allowed: Option<Vec<&'a str>>,
        strict: &'n mut StrictBudget,
        cx: &'n Context<'a>,
    ) -> Self {
        Self {
            cx,
            strict,
            allowed,
            list: Vec::new(),
            seen: HashSet::new(),
            custom: HashSet::new(),
        }
    }

    /// Adds the tools that the request declares.
    pub fn declared(&mut self, request: &'a Chat, names: &mut Names<'a>) -> Result<(), Error> {
        for (index, tool) in request.tools.iter().flatten().enumerate() {
            let mark = tool.cache_control.as_ref();
            let place = match &tool.at {
                Some(at) => at.clone(),
                None => format!("tools[{index}]"),
            };
            let is_deferred = tool.deferral != Deferral::None;
            if tool.deferral == Deferral::Hidden && !self.cx.extras.defers_tools {
                continue;
            }
            if let Some(tool) = &tool.client_tool
                && self.register(&tool.name, mark)
            {
                self.list.push(Entry {
                    client: &tool.name,
                    tool: Tool::ClientTool {
                        name: &tool.name,
                        json: &tool.json,
                    },
                    mark,
                });
            }
            if let Some(function) = &tool.function {
                let at = format!("{place}.function");
                let before = self.list.len();
                self.function(function, mark, names, &at)?;
                if is_deferred && self.list.len() > before {
                    self.defer_last();
                }
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
                    .filter(|_| custom.has_grammar() && !self.cx.extras.custom_tools)
                {
                    self.cx.warnings.add(format!(
                        "{place}.custom.format: the grammar was moved into the description (Converse has no such parameter)"
                    ));
                    description.push_str(&format!(
                        "\nThe input must follow this format: {}",
                        grammar.get()
                    ));
                }
                let schema =
                    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#.to_owned();
                let tool = specification(name, Some(&description), None, raw_json(schema), None);
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
        let place = format!("{at}.parameters");
        let cx = SchemaContext {
            facts,
            at: &place,
            warnings: self.cx.warnings,
        };
        let is_sent = self
            .allowed
            .as_ref()
            .is_none_or(|allowed| allowed.contains(&function.name.as_str()));
        let budget = (strict && facts.strict_tools && is_sent).then_some(&mut *self.strict);
        let schema = schema::for_tool(function.parameters.as_deref(), budget, &cx)?;
        let mut sent_strict = strict && facts.strict_tools;
        if strict && !sent_strict {
            self.cx.warnings.dropped(
                format!("{at}.strict"),
                "the model does not support strict tools",
            );
        } else if let Some(why) = schema.not_strict {
            // The model supports `strict`, so this is no unsupported parameter.
            self.cx
                .warnings
                .add(format!("{at}.strict: not sent ({why})"));
            sent_strict = false;
        }
        let name = names.sent(&function.name);
        let tool = specification(
            name,
            function.description.as_deref(),
            schema.note,
            schema.json,
            sent_strict.then_some(true),
        );
        self.list.push(Entry {
            client: &function.name,
            tool,
            mark,
        });
        Ok(())
    }

    /// Marks the last tool as one that a search finds.
    fn defer_last(&mut self) {
        if let Some(Entry {
            tool: Tool::ToolSpec(spec),
            ..
        }) = self.list.last_mut()
        {
            spec.is_deferred = self.cx.extras.defers_tools;
        }
    }

    /// Adds the web search tool, which AWS runs, if the request asks for it or the history has blocks of it.
    pub fn web_search(&mut self, request: &'a Chat) -> Result<(), Error> {
        let requested = wants_web_search(request);
        let seen = has_server_tools(self.cx.messages);
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
    pub fn keep_allowed(&mut self, request: &Chat) -> Result<(), Error> {
        let Some(allowed) = &self.allowed else {
            return Ok(());
        };
        let allowed: HashSet<&str> = allowed.iter().copied().collect();
        let is_declared = |kind: &str| {
            kind == FILE_SEARCH || (WEB_SEARCH.contains(&kind) && declares_search(request))
        };
        let mut kinds = hosted(request).into_iter().flatten().map(String::as_str);
        let unknown = allowed.iter().find(|name| !self.seen.contains(**name));
        if let Some(unknown) = unknown
            .copied()
            .or_else(|| kinds.find(|kind| !is_declared(kind)))
        {
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

/// Returns a tool's specification. `note` is added to the description.
pub fn specification<'a>(
    name: Cow<'a, str>,
    description: Option<&str>,
    note: Option<String>,
    json: Cow<'a, RawValue>,
    strict: Option<bool>,
) -> Tool<'a> {
    let description = with_note(description, note);
    // The service requires a description of at least one character.
    let description = description.map_or_else(|| name.clone(), Cow::Owned);
    Tool::ToolSpec(ToolSpecification {
        name,
        description,
        input_schema: ToolInputSchema { json },
        strict,
        is_deferred: false,
    })
}
