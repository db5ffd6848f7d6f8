//! Tools that only the history knows.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Entry, specification};
use crate::{
    operation::chat::{Message, ToolInput},
    upstream::converse::{messages::owned, names::Names},
};

/// Every tool that the history calls, in order of first use, with the arguments of its calls.
pub fn called(messages: &[Message]) -> Vec<(&str, Vec<&str>)> {
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

/// Tools with the parameters that their calls have used.
pub fn rebuilt<'a>(called: &[(&'a str, Vec<&'a str>)], names: &mut Names<'a>) -> Vec<Entry<'a>> {
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
        let schema = owned(json!({"type": "object", "properties": properties}).to_string());
        Entry {
            client: name,
            tool: specification(names.sent(name), None, schema, None),
        }
    });
    tools.collect()
}
