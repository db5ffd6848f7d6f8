//! What differs between the two dialects: how a client asks, what it gets, and how it sends it back.

use http::StatusCode;
use serde_json::{Value, json};

use super::turns::Turn;
use crate::{
    messages,
    response_api::{self, RESPONSES as RESPONSES_PATH},
    support::{Gateway, KEY, Reply, endpoints::MESSAGES as MESSAGES_PATH},
};

#[derive(Clone, Copy)]
pub struct Dialect {
    path: &'static str,
    /// Builds a request from what follows the first message of the user.
    request: fn(&[Value]) -> Value,
    /// The turn in a whole reply.
    pub whole: fn(&Reply) -> Vec<Value>,
    /// The turn in a stream.
    pub streamed: fn(&Reply) -> Vec<Value>,
    /// A turn without what differs from reply to reply.
    pub comparable: fn(&[Value]) -> Vec<Value>,
    /// A turn and what the user answers, as they follow in the next request.
    pub next: fn(&[Value], &Turn) -> Vec<Value>,
}

impl Dialect {
    /// Asks a gateway with this history.
    pub async fn ask(&self, gateway: &Gateway, history: &[Value], stream: bool) -> Reply {
        let mut request = (self.request)(history);
        request["stream"] = stream.into();
        let reply = gateway.ask(self.path, KEY, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply
    }
}

pub const RESPONSES: Dialect = Dialect {
    path: RESPONSES_PATH,
    request: |history| {
        let first = json!({"role": "user", "content": "Go"});
        let input: Vec<&Value> = [&first].into_iter().chain(history).collect();
        let look = json!({"type": "function", "name": "look", "parameters": {"type": "object"}});
        let reasoning = json!({"effort": "low"});
        json!({"model": "agent", "input": input, "tools": [look], "reasoning": reasoning, "store": false})
    },
    whole: |reply| reply.json()["output"].as_array().unwrap().clone(),
    streamed: |reply| {
        let events = response_api::events(reply);
        let done = |event: &&Value| event["type"] == "response.output_item.done";
        let done = events
            .iter()
            .filter(done)
            .map(|event| event["item"].clone());
        let done: Vec<Value> = done.collect();
        let last = &events.last().unwrap()["response"]["output"];
        assert_eq!(
            Value::from(done.clone()),
            *last,
            "the end repeats the items"
        );
        done
    },
    comparable: |items| {
        let mut items = items.to_vec();
        for item in &mut items {
            let item = item.as_object_mut().unwrap();
            item.remove("id");
            // Sealed anew each time.
            if let Some(sealed) = item.get_mut("encrypted_content") {
                *sealed = sealed.as_str().map(|text| text.starts_with("lt1.")).into();
            }
        }
        items
    },
    next: |items, turn| {
        let results = turn.call_ids();
        let results = results
            .iter()
            .map(|id| json!({"type": "function_call_output", "call_id": id, "output": "seen"}));
        let mut history = items.to_vec();
        history.extend(results);
        if turn.call_ids().is_empty() {
            history.push(json!({"role": "user", "content": "Go on"}));
        }
        history
    },
};

pub const MESSAGES: Dialect = Dialect {
    path: MESSAGES_PATH,
    request: |history| {
        let first = json!({"role": "user", "content": "Go"});
        let list: Vec<&Value> = [&first].into_iter().chain(history).collect();
        let look = json!({"name": "look", "input_schema": {"type": "object"}});
        let thinking = json!({"type": "enabled", "budget_tokens": 1024});
        json!({"model": "agent", "max_tokens": 5000, "messages": list, "tools": [look], "thinking": thinking})
    },
    whole: |reply| reply.json()["content"].as_array().unwrap().clone(),
    streamed: |reply| {
        let message = messages::joined(&messages::events(reply));
        message["content"].as_array().unwrap().clone()
    },
    comparable: <[Value]>::to_vec,
    next: |blocks, turn| {
        let results = turn.call_ids();
        let results = results
            .iter()
            .map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "seen"}));
        let content = match turn.call_ids().is_empty() {
            true => json!("Go on"),
            false => results.collect(),
        };
        vec![
            json!({"role": "assistant", "content": blocks}),
            json!({"role": "user", "content": content}),
        ]
    },
};
