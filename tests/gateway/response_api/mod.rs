//! OpenAI's Responses API as clients use it, whole and streamed.

mod compaction;
mod ends;
mod errors;
mod items;
mod knowledge;
mod money;
mod native;
mod reasoning;
mod recordings;
mod state;
mod streams;
mod tools;
mod whole;

use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use crate::support::{ANY_KEY, Gateway, KEY, Reply};

/// The path of the API.
pub const RESPONSES: &str = "/v1/responses";

/// A model that signs its reasoning.
const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

impl Gateway {
    /// Sends a request with the key [`KEY`].
    pub async fn respond(&self, body: &Value) -> Reply {
        self.ask(RESPONSES, KEY, body).await
    }

    /// Sends a request with a key that may use every model.
    pub async fn respond_any(&self, body: &Value) -> Reply {
        self.ask(RESPONSES, ANY_KEY, body).await
    }

    /// The body of the last request to Bedrock.
    fn last_sent(&self) -> Value {
        self.bodies().pop().expect("a request was sent")
    }
}

/// Returns the events of a streamed reply, after checks that hold for every stream.
pub fn events(reply: &Reply) -> Vec<Value> {
    let content_type = reply.header("content-type");
    assert_eq!(
        content_type,
        Some("text/event-stream; charset=utf-8"),
        "{}",
        reply.text()
    );
    let text = reply.text();
    assert!(text.ends_with("\n\n"), "the last event is complete");
    let events = text.trim_end().split("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').expect(event);
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        data
    });
    let events: Vec<Value> = events.collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    events
}

/// Returns the types of events, without the common prefix. Repeated deltas are one.
fn types(events: &[Value]) -> Vec<&str> {
    let kind = |event: &'_ Value| -> String { event["type"].as_str().unwrap().to_owned() };
    let mut types: Vec<&str> = Vec::new();
    for event in events {
        let name = event["type"].as_str().unwrap();
        let name = name.strip_prefix("response.").unwrap_or(name);
        if types.last() != Some(&name) || !kind(event).ends_with("delta") {
            types.push(name);
        }
    }
    types
}

/// Returns the response of the last event.
fn last_response(events: &[Value]) -> Value {
    events.last().unwrap()["response"].clone()
}

/// Returns a request with a text.
fn asking(input: &str) -> Value {
    json!({"model": "claude", "input": input})
}

/// Sets a member of a request.
fn with(mut request: Value, member: &str, value: Value) -> Value {
    request[member] = value;
    request
}

/// Returns the request as a stream.
fn streamed(request: Value) -> Value {
    with(request, "stream", true.into())
}

/// Returns the output items of a whole reply of this type.
fn items_of(reply: &Value, kind: &str) -> Vec<Value> {
    let items = reply["output"].as_array().unwrap().iter();
    items.filter(|item| item["type"] == kind).cloned().collect()
}

/// Converse's reply with these content blocks, whole or as events. Text and arguments come in two pieces.
fn scripted(content: &[Value], stop_reason: &str, stream: bool) -> ScriptedReply {
    let usage = json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15});
    if !stream {
        let message = json!({"role": "assistant", "content": content});
        let reply =
            json!({"output": {"message": message}, "stopReason": stop_reason, "usage": usage});
        return ScriptedReply::json(200, reply.to_string());
    }
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    for (index, block) in content.iter().enumerate() {
        let delta = |delta: Value| {
            let payload = json!({"contentBlockIndex": index, "delta": delta});
            ("contentBlockDelta", payload)
        };
        let reasoning = &block["reasoningContent"];
        if let Some(text) = block["text"].as_str() {
            let (start, end) = text.split_at(3);
            events.extend([delta(json!({"text": start})), delta(json!({"text": end}))]);
        } else if reasoning["redactedContent"].is_string() {
            events.push(delta(json!({"reasoningContent": reasoning})));
        } else if let Some(text) = reasoning["reasoningText"]["text"].as_str() {
            events.push(delta(json!({"reasoningContent": {"text": text}})));
            let signature = &reasoning["reasoningText"]["signature"];
            events.push(delta(json!({"reasoningContent": {"signature": signature}})));
        } else {
            let tool = &block["toolUse"];
            let start = json!({"toolUse": {"toolUseId": tool["toolUseId"], "name": tool["name"]}});
            let start = json!({"contentBlockIndex": index, "start": start});
            events.push(("contentBlockStart", start));
            let input = tool["input"].to_string();
            let (first, rest) = input.split_at(1);
            // Long input arrives in more pieces.
            let (second, third) = rest.split_at(if rest.len() > 40 { 20 } else { rest.len() });
            let parts = [first, second, third].into_iter();
            let parts = parts.filter(|part| !part.is_empty());
            events.extend(parts.map(|part| delta(json!({"toolUse": {"input": part}}))));
        }
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    events.push(("messageStop", json!({"stopReason": stop_reason})));
    events.push(("metadata", json!({"usage": usage})));
    let frames = events
        .iter()
        .map(|(name, payload)| encode_event(name, &payload.to_string()));
    ScriptedReply::stream(frames.collect())
}

fn thinking(text: &str) -> Value {
    json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "c2lnbmF0dXJl"}}})
}

fn redacted() -> Value {
    json!({"reasoningContent": {"redactedContent": "cmVkYWN0ZWQ="}})
}

fn call(id: &str, name: &str, input: Value) -> Value {
    json!({"toolUse": {"toolUseId": id, "name": name, "input": input}})
}

fn text(text: &str) -> Value {
    json!({"text": text})
}

/// A function without parameters.
fn function(name: &str) -> Value {
    json!({"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}})
}
