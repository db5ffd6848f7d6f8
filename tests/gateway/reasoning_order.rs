//! Reasoning between tool calls goes back to the model in its place.

use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use crate::support::{Gateway, Reply, money::key};

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

/// How a client sends the history of a turn back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum History {
    ToolCalls,
    ReasoningDetails,
    ThinkingBlocks,
    Everything,
}

const HISTORIES: [History; 4] = [
    History::ToolCalls,
    History::ReasoningDetails,
    History::ThinkingBlocks,
    History::Everything,
];

fn thinking(nth: u32) -> Value {
    json!({"reasoningContent": {"reasoningText": {"text": format!("thought {nth}"), "signature": format!("c2lnbmF0dXJl{nth}")}}})
}

fn call(nth: u32) -> Value {
    json!({"toolUse": {"toolUseId": format!("tooluse_{nth}"), "name": "f", "input": {"nth": nth}}})
}

fn text(text: &str) -> Value {
    json!({"text": text})
}

fn redacted() -> Value {
    json!({"reasoningContent": {"redactedContent": "cmVkYWN0ZWQ="}})
}

/// The turns of a model that thinks between its calls.
fn turns() -> [Vec<Value>; 3] {
    [
        vec![thinking(1), call(1), thinking(2), call(2)],
        vec![
            thinking(1),
            text("First this."),
            call(1),
            redacted(),
            text("Then that."),
            thinking(2),
            call(2),
        ],
        vec![redacted(), thinking(1), call(1), call(2)],
    ]
}

/// Converse's reply, whole or as events.
fn scripted(content: &[Value], stream: bool) -> ScriptedReply {
    let usage = json!({"inputTokens": 1, "outputTokens": 1, "totalTokens": 2});
    if !stream {
        let message = json!({"role": "assistant", "content": content});
        let reply =
            json!({"output": {"message": message}, "stopReason": "tool_use", "usage": usage});
        return ScriptedReply::json(200, reply.to_string());
    }
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    for (index, block) in content.iter().enumerate() {
        let mut delta = |delta: Value| {
            events.push((
                "contentBlockDelta",
                json!({"contentBlockIndex": index, "delta": delta}),
            ));
        };
        let reasoning = &block["reasoningContent"];
        if let Some(text) = block["text"].as_str() {
            let (start, end) = text.split_at(3);
            delta(json!({"text": start}));
            delta(json!({"text": end}));
        } else if reasoning["redactedContent"].is_string() {
            delta(json!({"reasoningContent": reasoning}));
        } else if let Some(text) = reasoning["reasoningText"]["text"].as_str() {
            let (start, end) = text.split_at(4);
            delta(json!({"reasoningContent": {"text": start}}));
            delta(json!({"reasoningContent": {"text": end}}));
            let signature = &reasoning["reasoningText"]["signature"];
            delta(json!({"reasoningContent": {"signature": signature}}));
        } else {
            let tool = &block["toolUse"];
            let start = json!({"toolUse": {"toolUseId": tool["toolUseId"], "name": tool["name"]}});
            events.push((
                "contentBlockStart",
                json!({"contentBlockIndex": index, "start": start}),
            ));
            let input = tool["input"].to_string();
            events.push((
                "contentBlockDelta",
                json!({"contentBlockIndex": index, "delta": {"toolUse": {"input": input}}}),
            ));
        }
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    events.push(("messageStop", json!({"stopReason": "tool_use"})));
    events.push(("metadata", json!({"usage": usage})));
    let frames = events
        .iter()
        .map(|(name, payload)| encode_event(name, &payload.to_string()));
    ScriptedReply::stream(frames.collect())
}

fn request(messages: Value, stream: bool) -> Value {
    json!({"model": HAIKU, "messages": messages, "stream": stream, "reasoning_effort": "low",
           "tools": [{"type": "function", "function": {"name": "f"}}]})
}

/// Puts a streamed message together as OpenAI's SDKs do: strings are joined, and entries of lists by
/// `index`, which stays in them.
pub fn merge(into: &mut Value, delta: &Value) {
    match (into, delta) {
        (Value::Object(into), Value::Object(delta)) => {
            for (name, value) in delta {
                match into.get_mut(name) {
                    Some(known) if !["id", "type", "index"].contains(&name.as_str()) => {
                        merge(known, value);
                    }
                    _ => {
                        into.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::String(into), Value::String(delta)) => into.push_str(delta),
        (Value::Array(into), Value::Array(delta)) => {
            for entry in delta {
                match into.iter_mut().find(|one| one["index"] == entry["index"]) {
                    Some(known) => merge(known, entry),
                    None => into.push(entry.clone()),
                }
            }
        }
        (into, delta) => *into = delta.clone(),
    }
}

/// The assistant's message of a first request whose reply is `turn`.
async fn asked(gateway: &Gateway, turn: &[Value], stream: bool) -> Value {
    gateway.simulator.script(scripted(turn, stream));
    let reply = gateway
        .any(&request(
            json!([{"role": "user", "content": "Use f"}]),
            stream,
        ))
        .await;
    message_of(&reply, stream)
}

/// The message of a reply, as a client assembles it.
fn message_of(reply: &Reply, stream: bool) -> Value {
    if !stream {
        return reply.json()["choices"][0]["message"].clone();
    }
    let mut message = json!({});
    for event in reply.events() {
        if event != "[DONE]" {
            let chunk: Value = serde_json::from_str(event).unwrap();
            merge(&mut message, &chunk["choices"][0]["delta"]);
        }
    }
    message
}

/// What Bedrock receives as the assistant's turn if the client sends `message` and the results.
async fn sent_back(gateway: &Gateway, message: &Value, stream: bool) -> Value {
    let result = |nth: u32| json!({"role": "tool", "tool_call_id": format!("tooluse_{nth}"), "content": format!("result {nth}")});
    let messages = json!([{"role": "user", "content": "Use f"}, message, result(1), result(2)]);
    let reply = gateway.any(&request(messages, stream)).await;
    assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.text());
    let sent = gateway.bodies().pop().unwrap();
    let results = &sent["messages"][2]["content"];
    assert_eq!(results[0]["toolResult"]["toolUseId"], "tooluse_1");
    assert_eq!(results[1]["toolResult"]["toolUseId"], "tooluse_2");
    sent["messages"][1]["content"].clone()
}

fn history(message: &Value, form: History) -> Value {
    let mut kept = vec!["role", "content", "tool_calls"];
    match form {
        History::ToolCalls => {}
        History::ReasoningDetails => kept.push("reasoning_details"),
        History::ThinkingBlocks => kept.push("thinking_blocks"),
        History::Everything => return message.clone(),
    }
    let members = message.as_object().unwrap().iter();
    members
        .filter(|(name, _)| kept.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[tokio::test]
async fn thinking_returns_to_its_place_between_the_calls_in_every_form_of_history() {
    for turn in turns() {
        for stream in [false, true] {
            for form in HISTORIES {
                let gateway = Gateway::start().await;
                let message = asked(&gateway, &turn, stream).await;
                let calls = message["tool_calls"].as_array().unwrap();
                assert_eq!(calls.len(), 2, "{message}");
                let sent = sent_back(&gateway, &history(&message, form), stream).await;
                assert_eq!(
                    sent,
                    Value::from(turn.clone()),
                    "{form:?}, stream: {stream}"
                );
            }
        }
    }
}

#[tokio::test]
async fn another_gateway_puts_the_thinking_of_a_history_before_its_calls() {
    for form in &HISTORIES[1..] {
        let gateway = Gateway::start().await;
        let turn = vec![thinking(1), call(1), thinking(2), call(2)];
        let message = asked(&gateway, &turn, true).await;
        let other = Gateway::start().await;
        let sent = sent_back(&other, &history(&message, *form), false).await;
        assert_eq!(
            sent,
            json!([thinking(1), thinking(2), call(1), call(2)]),
            "{form:?}: Claude wants a turn that begins with thinking"
        );
    }
}

/// The turn as content parts in the words of Anthropic's API, with the gateway's own signatures.
fn parts(turn: &[Value], message: &Value) -> Vec<Value> {
    let mut blocks = message["thinking_blocks"].as_array().unwrap().iter();
    let of = |(index, block): (usize, &Value)| {
        let mut part = if block["reasoningContent"].is_object() {
            blocks.next().unwrap().clone()
        } else if let Some(tool) = block["toolUse"].as_object() {
            json!({"type": "tool_use", "id": tool["toolUseId"], "name": tool["name"], "input": tool["input"]})
        } else {
            json!({"type": "text", "text": block["text"]})
        };
        part["index"] = index.into();
        part
    };
    turn.iter().enumerate().map(of).collect()
}

#[tokio::test]
async fn content_parts_keep_their_order_with_index_members_and_without_a_memory() {
    for turn in turns() {
        for stream in [false, true] {
            let gateway = Gateway::start().await;
            let message = asked(&gateway, &turn, stream).await;
            let assistant = json!({"role": "assistant", "content": parts(&turn, &message)});
            let result = |nth: u32| {
                json!({"type": "tool_result", "tool_use_id": format!("tooluse_{nth}"), "index": nth,
                       "content": [{"type": "text", "text": format!("result {nth}")}]})
            };
            let results = json!({"role": "user", "content": [result(1), result(2), {"type": "text", "text": "Go on"}]});
            let start = json!({"role": "user", "content": "Use f"});
            // The second gateway has not seen the turn.
            for gateway in [&gateway, &Gateway::start().await] {
                let reply = gateway
                    .any(&request(json!([start, assistant, results]), stream))
                    .await;
                assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.text());
                let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
                assert!(!warnings.contains("ignored"), "{warnings}");
                let sent = gateway.bodies().pop().unwrap();
                assert_eq!(sent["messages"][1]["content"], Value::from(turn.clone()));
                let user = &sent["messages"][2]["content"];
                assert_eq!(user[0]["toolResult"]["toolUseId"], "tooluse_1");
                assert_eq!(user[1]["toolResult"]["toolUseId"], "tooluse_2");
                assert_eq!(
                    user[1]["toolResult"]["content"],
                    json!([{"text": "result 2"}])
                );
                assert_eq!(user[2], json!({"text": "Go on"}));
            }
        }
    }
}

#[tokio::test]
async fn thinking_of_another_key_is_not_restored() {
    let gateway = Gateway::start().await;
    let (_, other) = key(&gateway, json!({"raw": true})).await;
    let turn = vec![thinking(1), call(1), thinking(2), call(2)];
    let message = asked(&gateway, &turn, false).await;
    let messages = json!([{"role": "user", "content": "Use f"}, history(&message, History::ToolCalls),
        {"role": "tool", "tool_call_id": "tooluse_1", "content": "1"},
        {"role": "tool", "tool_call_id": "tooluse_2", "content": "2"}]);
    let reply = gateway.as_key(&other, &request(messages, false)).await;
    assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.text());
    let sent = gateway.bodies().pop().unwrap();
    assert_eq!(sent["messages"][1]["content"], json!([call(1), call(2)]));
}

/// Was lost, because the model does not sign its reasoning.
#[tokio::test]
async fn encrypted_reasoning_of_gpt_returns_to_its_place() {
    for stream in [false, true] {
        for form in HISTORIES {
            let gateway = Gateway::start().await;
            let turn = vec![redacted(), call(1), call(2)];
            let model = |messages: Value| {
                let mut request = request(messages, stream);
                request["model"] = "openai.gpt-6-sol".into();
                request
            };
            gateway.simulator.script(scripted(&turn, stream));
            let question = json!({"role": "user", "content": "Use f"});
            let reply = gateway.any(&model(json!([question]))).await;
            let message = history(&message_of(&reply, stream), form);
            let result = |nth: u32| json!({"role": "tool", "tool_call_id": format!("tooluse_{nth}"), "content": "done"});
            let reply = gateway
                .any(&model(json!([question, message, result(1), result(2)])))
                .await;
            assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.text());
            let sent = gateway.bodies().pop().unwrap();
            assert_eq!(
                sent["messages"][1]["content"],
                Value::from(turn),
                "{form:?}"
            );
        }
    }
}

#[tokio::test]
async fn hidden_reasoning_is_left_out_of_the_reply_and_still_returns_to_the_model() {
    for stream in [false, true] {
        let gateway = Gateway::start().await;
        let turn = vec![thinking(1), call(1), thinking(2), call(2)];
        gateway.simulator.script(scripted(&turn, stream));
        let mut first = request(json!([{"role": "user", "content": "Use f"}]), stream);
        first.as_object_mut().unwrap().remove("reasoning_effort");
        first["reasoning"] = json!({"effort": "low", "exclude": true});
        let message = message_of(&gateway.any(&first).await, stream);
        for name in ["reasoning_content", "thinking_blocks", "reasoning_details"] {
            assert!(message[name].is_null(), "{message}");
        }
        let sent = sent_back(&gateway, &message, stream).await;
        assert_eq!(sent, Value::from(turn), "stream: {stream}");
    }
}
