//! Tools in namespaces. Elsewhere the name of the namespace is a part of the tool's name.

use std::{borrow::Cow, collections::HashMap};

use crate::{
    openai::{
        chat::{Namespace, Tool as ChatTool},
        responses::{NamespaceTool, Tool},
        tool_choice::ToolChoice,
    },
    operation::chat::Chat,
    upstream::converse::{Context, ReplyPlan},
};

/// Namespaces of OpenAI's own tools, which clients cannot declare.
const RESERVED: [&str; 5] = ["functions", "web", "image_gen", "browser", "python"];

/// The most characters of a name.
const MAX_NAME: usize = 64;

/// The namespaces of a request's tools, by the names that the tools have elsewhere.
#[derive(Debug, Default)]
pub struct Namespaces<'a>(HashMap<&'a str, &'a Namespace>);

impl<'a> Namespaces<'a> {
    /// Returns the namespaces of the tools of `chat`. There are none if the endpoint has none, or if a tool in one is
    /// forced, because a tool choice names no namespace.
    pub fn new(chat: &'a Chat, cx: &Context<'_>) -> Self {
        if !cx.extras.namespaces {
            return Self::default();
        }
        let tools = chat.tools.iter().flatten();
        let tools = tools.filter_map(|tool| {
            let own = tool.namespace.as_deref()?;
            let is_free = !RESERVED.contains(&own.name.as_str());
            let is_sent = is_free && is_name(&own.name) && is_name(&own.tool);
            is_sent.then_some((name(tool)?, own))
        });
        let namespaces = Self(tools.collect());
        let is_forced = |name: &String| namespaces.of(name).is_some();
        match &chat.tool_choice {
            Some(ToolChoice::Named(name)) if is_forced(name) => Self::default(),
            _ => namespaces,
        }
    }

    /// Returns the namespace of the tool that has this name elsewhere.
    pub fn of(&self, name: &str) -> Option<&'a Namespace> {
        self.0.get(name).copied()
    }

    /// Puts tools into their namespaces, each at the place of its first tool, and notes in `plan` how replies name them.
    pub fn grouped(&self, tools: Vec<Tool<'a>>, plan: &mut ReplyPlan) -> Vec<Tool<'a>> {
        let mut grouped: Vec<Tool<'a>> = Vec::with_capacity(tools.len());
        let mut places: HashMap<&str, usize> = HashMap::new();
        for mut tool in tools {
            let Some((sent, description)) = named(&mut tool) else {
                grouped.push(tool);
                continue;
            };
            let client = plan.names.get(sent.as_ref()).map(String::as_str);
            let Some(own) = self.of(client.unwrap_or(sent.as_ref())) else {
                grouped.push(tool);
                continue;
            };
            let names = (own.name.clone(), own.tool.clone());
            plan.namespaces.insert(names, sent.clone().into_owned());
            let is_name = *description == *sent;
            *sent = own.tool.as_str().into();
            let rest = description.strip_prefix(&*own.about).map(str::trim_start);
            *description = match rest {
                _ if is_name => own.tool.as_str().into(),
                Some("") => own.tool.as_str().into(),
                Some(rest) if !own.about.is_empty() => rest.to_owned().into(),
                _ => description.clone(),
            };
            let place = *places.entry(own.name.as_str()).or_insert_with(|| {
                grouped.push(Tool::Namespace(NamespaceTool {
                    kind: "namespace",
                    name: &own.name,
                    description: match own.about.is_empty() {
                        true => &own.name,
                        false => &own.about,
                    },
                    tools: Vec::new(),
                }));
                grouped.len() - 1
            });
            if let Some(Tool::Namespace(namespace)) = grouped.get_mut(place) {
                namespace.tools.push(tool);
            }
        }
        grouped
    }
}

/// Returns the name that the tool has elsewhere.
fn name(tool: &ChatTool) -> Option<&str> {
    let function = tool.function.as_ref().map(|function| &function.name);
    let custom = tool.custom.as_ref().map(|custom| &custom.name);
    function.or(custom).map(String::as_str)
}

/// Returns the name and the description of a tool that is not a namespace.
fn named<'t, 'a>(tool: &'t mut Tool<'a>) -> Option<(&'t mut Cow<'a, str>, &'t mut Cow<'a, str>)> {
    match tool {
        Tool::Function(tool) => Some((&mut tool.name, &mut tool.description)),
        Tool::Custom(tool) => Some((&mut tool.name, &mut tool.description)),
        Tool::Namespace(_) => None,
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed)
}
