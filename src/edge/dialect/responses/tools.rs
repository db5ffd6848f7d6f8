//! Converts tools to those of a chat. Tools that only OpenAI runs are dropped, because agents offer them in every request.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    item,
    names::{TOOL_SEARCH, ToolNames},
};
use crate::{
    call::Warnings,
    edge::dialect::{Policies, chat_completions::check_tools},
    error::Error,
    openai::{
        chat::{CustomTool, Deferral, Function, Namespace, Tool as ChatTool},
        knowledge_base::FILE_SEARCH,
        responses::served::Tool,
    },
    operation::chat::WEB_SEARCH,
};

/// Maximum number of tools of a request, with those in namespaces.
const MAX_TOOLS: usize = 1024;

/// The tools of a request.
#[derive(Debug, Default)]
pub struct Tools {
    pub list: Vec<ChatTool>,
    /// The path and the type of the tools that only OpenAI runs.
    hosted: Vec<(String, String)>,
    /// Tools that the model gets once a search has found them, by the name that the model sees.
    deferred: Vec<String>,
    /// The bytes that the tools gain over the body.
    pub added: usize,
}

/// Where a list of tools is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The path of the list: `tools`.
    pub at: &'a str,
    /// A search found the tools, so none of them is deferred.
    pub is_found: bool,
}

impl Tools {
    /// Adds a list of tools.
    ///
    /// # Errors
    /// 400 with the path of an invalid tool.
    pub fn add(
        &mut self,
        list: &[Box<RawValue>],
        place: Place<'_>,
        names: &mut ToolNames,
    ) -> Result<(), Error> {
        let mut parsed = Vec::with_capacity(list.len());
        for (index, raw) in list.iter().enumerate() {
            let at = format!("{}[{index}]", place.at);
            let tool: Tool = item::parse(raw, &at)?;
            if let ("function" | "custom", Some(name)) = (tool.kind.as_str(), &tool.name) {
                names.add_plain(name);
            }
            parsed.push((at, tool));
        }
        for (at, tool) in parsed {
            match tool.kind.as_str() {
                "namespace" => self.namespace(tool, place, &at, names)?,
                _ => self.tool(tool, None, place, &at, names)?,
            }
        }
        match self.list.len() > MAX_TOOLS {
            true => Err(Error::invalid(
                place.at,
                format!("At most {MAX_TOOLS} tools are allowed, with those in namespaces."),
            )),
            false => Ok(()),
        }
    }

    fn namespace(
        &mut self,
        namespace: Tool,
        place: Place<'_>,
        at: &str,
        names: &mut ToolNames,
    ) -> Result<(), Error> {
        let name = namespace.name.unwrap_or_default();
        check_tools::name(&name, || format!("{at}.name"))?;
        let about: Arc<str> = namespace.description.unwrap_or_default().into();
        let mut is_first = true;
        for (index, raw) in namespace.tools.iter().flatten().enumerate() {
            let at = format!("{at}.tools[{index}]");
            let mut tool: Tool = item::parse(raw, &at)?;
            if is_first && !about.is_empty() {
                // Nothing else tells the model what the tools have in common.
                let own = tool.description.unwrap_or_default();
                tool.description = Some(format!("{about}\n\n{own}").trim_end().to_owned());
            }
            is_first = false;
            self.added += name.len() + 4;
            let namespace = Namespace {
                name: name.clone(),
                tool: tool.name.clone().unwrap_or_default(),
                about: about.clone(),
            };
            self.tool(tool, Some(namespace), place, &at, names)?;
        }
        Ok(())
    }

    fn tool(
        &mut self,
        tool: Tool,
        namespace: Option<Namespace>,
        place: Place<'_>,
        at: &str,
        names: &mut ToolNames,
    ) -> Result<(), Error> {
        let name = tool.name.as_deref().unwrap_or_default();
        match tool.kind.as_str() {
            "function" | "custom" => {
                check_tools::name(name, || format!("{at}.name"))?;
                let space = namespace.as_ref().map(|namespace| namespace.name.as_str());
                let sent = names.sent(space, name);
                if tool.defer_loading == Some(true) && !place.is_found {
                    self.deferred.push(sent);
                    return Ok(());
                }
                // A tool that is found twice is one tool.
                if place.is_found && self.has(&sent) {
                    return Ok(());
                }
                let list = match tool.kind.as_str() {
                    "function" => function(tool, sent, at)?,
                    _ => custom(tool, sent, at),
                };
                self.list.push(ChatTool {
                    namespace: namespace.map(Box::new),
                    ..list
                });
            }
            TOOL_SEARCH if tool.execution.as_deref() == Some("client") => {
                names.add_search();
                let list = function(tool, TOOL_SEARCH.to_owned(), at)?;
                self.list.push(list);
            }
            FILE_SEARCH => self.list.push(ChatTool {
                vector_store_ids: tool.vector_store_ids,
                max_num_results: tool.max_num_results,
                ranking_options: tool.ranking_options,
                filters: tool.filters,
                at: Some(at.to_owned()),
                ..of_kind(FILE_SEARCH)
            }),
            kind => {
                let kind: String = kind.chars().take(40).collect();
                self.hosted.push((at.to_owned(), kind));
            }
        }
        Ok(())
    }

    /// Reports whether the model can call the tool.
    pub fn has(&self, sent: &str) -> bool {
        self.list.iter().any(|tool| {
            let function = tool.function.as_ref().map(|function| &function.name);
            let custom = tool.custom.as_ref().map(|custom| &custom.name);
            function.or(custom).is_some_and(|name| name == sent)
        })
    }

    /// Reports whether the tool waits for a search that finds it.
    pub fn is_deferred(&self, sent: &str) -> bool {
        !self.has(sent) && self.deferred.iter().any(|name| name == sent)
    }

    /// Decides about the tools that only OpenAI runs, once all tools are known. Among other tools they are dropped, unless the
    /// operator wants them rejected. Alone, they are what the client wants, and an answer without them would be wrong. Some
    /// models have a web search.
    ///
    /// # Errors
    /// 400 with the first tool that is not available.
    pub fn check(&mut self, policies: Policies, warnings: &Warnings) -> Result<(), Error> {
        let has_others = !self.list.is_empty() || !self.deferred.is_empty();
        let mut dropped = std::mem::take(&mut self.hosted);
        if policies.refuses_hosted_tools
            && let Some((at, kind)) = dropped.first()
        {
            return Err(unavailable(format!("{at}.type"), kind));
        }
        let is_search = |(_, kind): &(String, String)| is_web_search(kind);
        if !has_others && dropped.iter().any(is_search) {
            self.list.push(of_kind(WEB_SEARCH[0]));
            dropped.retain(|tool| !is_search(tool));
        } else if !has_others && let Some((at, kind)) = dropped.first() {
            return Err(unavailable(format!("{at}.type"), kind));
        }
        for (at, kind) in dropped {
            warnings.add(format!("{at}: ignored, '{kind}' is not available here"));
        }
        Ok(())
    }

    /// Reports whether the model can search the web.
    pub fn has_web_search(&self) -> bool {
        self.list.iter().any(|tool| is_web_search(&tool.kind))
    }

    /// Reports whether the model can call a tool. The gateway itself runs a `file_search`.
    pub fn can_call(&self) -> bool {
        self.list.iter().any(|tool| tool.kind != FILE_SEARCH)
    }

    /// Reports whether the gateway searches Knowledge Bases.
    pub fn has_file_search(&self) -> bool {
        self.list.iter().any(|tool| tool.kind == FILE_SEARCH)
    }
}

/// Creates the error for a tool that is not available.
pub fn unavailable(param: String, kind: &str) -> Error {
    let text = format!(
        "The tool '{kind}' is not available here. Use tools of type 'function' or 'custom', or 'file_search' with Knowledge Bases."
    );
    Error::invalid(param, text).with_code("unsupported_parameter")
}

/// Reports whether a tool of this type searches the web.
pub fn is_web_search(kind: &str) -> bool {
    kind.starts_with(WEB_SEARCH[0])
}

fn function(tool: Tool, name: String, at: &str) -> Result<ChatTool, Error> {
    let function = Function {
        name,
        description: tool.description.filter(|text| !text.is_empty()),
        parameters: tool.parameters,
        strict: tool.strict,
        cache_control: None,
    };
    check_tools::check_function(&function, &|member| format!("{at}.{member}"))?;
    Ok(ChatTool {
        function: Some(function),
        at: Some(at.to_owned()),
        ..of_kind("function")
    })
}

fn custom(tool: Tool, name: String, at: &str) -> ChatTool {
    let custom = CustomTool {
        name,
        description: tool.description.filter(|text| !text.is_empty()),
        format: tool.format,
    };
    ChatTool {
        custom: Some(custom),
        at: Some(at.to_owned()),
        ..of_kind("custom")
    }
}

fn of_kind(kind: &str) -> ChatTool {
    ChatTool {
        kind: kind.to_owned(),
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
