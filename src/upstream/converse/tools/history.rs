//! Rebuilds tools from the calls in the history.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Entry, specification};
use crate::{
    operation::chat::{Message, ToolInput},
    upstream::converse::{names::Names, raw::raw_json},
};

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
    #[derive(Deserialize)]
    struct Arguments(Map<String, Value>);
    let tools = called.iter().map(|(name, calls)| {
        let mut properties = Map::new();
        for Arguments(arguments) in calls
            .iter()
            .filter_map(|call| serde_json::from_str::<Arguments>(call).ok())
        {
            properties.extend(arguments.into_iter().map(|(key, _)| (key, json!({}))));
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
