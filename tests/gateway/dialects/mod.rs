//! What Messages and Responses have in common: the same reply of Bedrock, read by clients of both.

mod blocked;
mod calls;
mod choices;
mod compaction;
mod counts;
mod members;
mod models;
mod reasoning;

use bytes::Bytes;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use crate::support::{ANY_KEY, Gateway, Reply};

const SETTINGS: &str = r#"
    [models.oss]
    target = "openai.gpt-oss-120b-1:0"
    api = "chat"
    [models.haiku]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    api = "converse"
    [models.haiku_invoke]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    api = "invoke"
    [models.searcher]
    target = "us.amazon.nova-2-lite-v1:0"
"#;

async fn gateway() -> Gateway {
    Gateway::start_with(SETTINGS).await
}

/// Sends a message with two tools.
async fn message(gateway: &Gateway, more: Value) -> Reply {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let tools = ["f", "g"].map(|name| json!({"name": name, "input_schema": schema}));
    let request = json!({"model": "oss", "max_tokens": 500, "tools": tools, "messages": [{"role": "user", "content": "Hi"}]});
    gateway
        .ask("/v1/messages", ANY_KEY, &merged(request, more))
        .await
}

/// Sends a response with two functions and a custom tool.
async fn respond(gateway: &Gateway, more: Value) -> Reply {
    let tool = |name, kind| json!({"type": kind, "name": name});
    let tools = json!([
        tool("f", "function"),
        tool("g", "function"),
        tool("patch", "custom")
    ]);
    let request = json!({"model": "oss", "input": "Hi", "tools": tools});
    gateway
        .ask("/v1/responses", ANY_KEY, &merged(request, more))
        .await
}

/// Returns a request with more members. Null removes one.
fn merged(mut request: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
        if value.is_null() {
            request.as_object_mut().unwrap().remove(name);
        }
    }
    request
}

/// Returns the data of the events of a stream.
fn events(reply: &Reply) -> Vec<Value> {
    let text = reply.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// Returns the content of a streamed message. Arguments are text.
fn content(events: &[Value]) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut open = None;
    for event in events {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(open, None, "one block at a time");
                open = event["index"].as_u64();
                let block = &event["content_block"];
                let name = block.get("name").unwrap_or(&block["type"]);
                blocks.push((text(name), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(open, event["index"].as_u64());
                let delta = &event["delta"];
                let more = delta.get("text").unwrap_or(&delta["partial_json"]);
                blocks.last_mut().unwrap().1 += &text(more);
            }
            "content_block_stop" => open = None,
            _ => {}
        }
    }
    blocks
}

/// Returns the items of a response: what they are called, and their text.
fn items(response: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let item = |item: &Value| {
        let said = &item["content"][0]["text"];
        let body = ["arguments", "input"]
            .iter()
            .find_map(|name| item.get(name));
        (
            text(item.get("name").unwrap_or(&item["type"])),
            text(body.unwrap_or(said)),
        )
    };
    response["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(item)
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// A stream of the OpenAI-compatible endpoints.
fn chat_stream(deltas: &[Value], finish: &str) -> ScriptedReply {
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    let chunk =
        |delta: &Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let chunks = deltas.iter().map(chunk).chain([end]);
    let events = chunks.map(|chunk| format!("data: {chunk}\n\n"));
    let parts = events.chain(["data: [DONE]\n\n".to_owned()]);
    let mut reply = ScriptedReply::stream(parts.map(Bytes::from).collect());
    reply.headers = vec![("content-type".into(), "text/event-stream".into())];
    reply
}

/// A whole reply of the OpenAI-compatible endpoints.
fn chat_whole(message: Value, finish: &str) -> ScriptedReply {
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    ScriptedReply::json(200, body.to_string())
}

/// A delta with the start of a call, or with more of its arguments.
fn fragment(index: usize, name: Option<&str>, arguments: &str) -> Value {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if let Some(name) = name {
        call["id"] = format!("call_{name}_{index}_abcdef").into();
        call["function"]["name"] = name.into();
    }
    json!({"tool_calls": [call]})
}

/// A whole reply of Converse with one text.
fn converse_whole(text: &str, stop: &str, more: Value) -> ScriptedReply {
    let content = match text {
        "" => json!([]),
        text => json!([{"text": text}]),
    };
    let body = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}});
    ScriptedReply::json(200, merged(body, more).to_string())
}

/// A stream of Converse with these pieces of text.
fn converse_stream(pieces: &[&str], stop: &str, trace: Value) -> ScriptedReply {
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    for piece in pieces {
        let delta = json!({"contentBlockIndex": 0, "delta": {"text": piece}});
        events.push(("contentBlockDelta", delta));
    }
    events.push(("contentBlockStop", json!({"contentBlockIndex": 0})));
    events.push(("messageStop", json!({"stopReason": stop})));
    let usage = json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15});
    let mut metadata = json!({"usage": usage});
    if !trace.is_null() {
        metadata["trace"] = json!({"guardrail": trace});
    }
    events.push(("metadata", metadata));
    let frames = events
        .iter()
        .map(|(name, payload)| encode_event(name, &payload.to_string()));
    ScriptedReply::stream(frames.collect())
}
