//! Rebuilds tools from the calls in the history.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, json};

use super::{Entry, specification};
use crate::{
    operation::chat::{Message, ToolInput},
    upstream::converse::{names::Names, raw::raw_json},
};

/// Maximum number of parameters of a rebuilt tool.
const MAX_PARAMETERS: usize = 1000;

/// The names of the first [`MAX_PARAMETERS`] arguments of a call.
struct Arguments(Vec<String>);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Arguments;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Arguments, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                    if names.len() < MAX_PARAMETERS {
                        names.push(name);
                    }
                }
                Ok(Arguments(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// Returns the name of every tool that the history calls, in order of first use, with the arguments of its calls.
pub fn called_tools(messages: &[Message]) -> Vec<(&str, Vec<&str>)> {
    let mut order: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for call in messages.iter().flat_map(Message::tool_uses) {
        let arguments = match &call.input {
            ToolInput::Arguments(arguments) => arguments.as_str(),
            ToolInput::Text(_) => r#"{"input":""}"#,
        };
        let at = *places.entry(&call.name).or_insert_with(|| {
            order.push((&call.name, Vec::new()));
            order.len() - 1
        });
        order[at].1.push(arguments);
    }
    order
}

/// Returns tool definitions whose parameters are those that the calls have used.
pub fn rebuild_tools<'a>(
    called: &[(&'a str, Vec<&'a str>)],
    names: &mut Names<'a>,
) -> Vec<Entry<'a>> {
    let tools = called.iter().map(|(name, calls)| {
        let mut properties = Map::new();
        for Arguments(names) in calls
            .iter()
            .filter_map(|call| serde_json::from_str::<Arguments>(call).ok())
        {
            let new = names.into_iter().map(|name| (name, json!({})));
            properties.extend(new.take(MAX_PARAMETERS.saturating_sub(properties.len())));
        }
        let schema = raw_json(json!({"type": "object", "properties": properties}).to_string());
        Entry {
            client: name,
            tool: specification(names.sent(name), None, None, schema, None),
            mark: None,
        }
    });
    tools.collect()
}
