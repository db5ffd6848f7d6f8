//! Tool calls whose parts arrive in another order than clients of these APIs know, or that are malformed.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{
    chat_stream, chat_whole, content, events, fragment, gateway, items, message, pairs, respond,
};

fn start(index: usize, name: &str) -> Value {
    fragment(index, Some(name), "")
}

fn more(index: usize, arguments: &str) -> Value {
    fragment(index, None, arguments)
}

fn said(text: &str) -> Value {
    json!({"content": text})
}

/// Returns what both APIs make of the same stream.
async fn both(deltas: &[Value]) -> [Vec<(String, String)>; 2] {
    let gateway = gateway().await;
    let script = || chat_stream(deltas, "tool_calls");
    gateway.simulator.script(script());
    let reply = message(&gateway, json!({"stream": true})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let events_of_message = events(&reply);
    assert_eq!(events_of_message.last().unwrap()["type"], "message_stop");
    let blocks = content(&events_of_message);
    gateway.simulator.script(script());
    let reply = respond(&gateway, json!({"stream": true})).await;
    let events = events(&reply);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed", "{last}");
    [blocks, items(&last["response"])]
}

#[tokio::test]
async fn arguments_that_alternate_reach_their_calls() {
    let deltas = [
        start(0, "f"),
        start(1, "g"),
        more(0, "{\"a\":"),
        more(1, "{\"a\":"),
        more(0, "\"x\"}"),
        more(1, "\"y\"}"),
    ];
    let expected = pairs(&[("f", r#"{"a":"x"}"#), ("g", r#"{"a":"y"}"#)]);
    assert_eq!(both(&deltas).await, [expected.clone(), expected]);
}

#[tokio::test]
async fn text_within_a_call_follows_it() {
    let deltas = [start(0, "f"), said("Mid"), more(0, "{\"a\":\"x\"}")];
    let [blocks, items] = both(&deltas).await;
    assert_eq!(blocks, pairs(&[("f", r#"{"a":"x"}"#), ("text", "Mid")]));
    assert_eq!(items, pairs(&[("f", r#"{"a":"x"}"#), ("message", "Mid")]));
}

#[tokio::test]
async fn custom_call_keeps_its_place_in_the_turn() {
    let gateway = gateway().await;
    let expected = pairs(&[
        ("patch", "AAA"),
        ("f", "{}"),
        ("patch", "B"),
        ("message", "After"),
    ]);
    let calls = [
        ("patch", "{\"input\":\"AAA\"}"),
        ("f", "{}"),
        ("patch", "{\"input\":\"B\"}"),
    ];
    let mut deltas = Vec::new();
    for (index, (name, arguments)) in calls.iter().enumerate() {
        deltas.push(fragment(index, Some(name), arguments));
    }
    deltas.push(said("After"));
    gateway.simulator.script(chat_stream(&deltas, "tool_calls"));
    let events = events(&respond(&gateway, json!({"stream": true})).await);
    assert_eq!(items(&events.last().unwrap()["response"]), expected);
    let calls: Vec<Value> = deltas[..3]
        .iter()
        .map(|delta| delta["tool_calls"][0].clone())
        .collect();
    gateway.simulator.script(chat_whole(
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
        "tool_calls",
    ));
    let whole = respond(&gateway, json!({})).await.json();
    assert_eq!(items(&whole), expected[..3]);
}

/// Arguments that are no JSON object.
const MALFORMED: [&str; 5] = [
    "{\"a\": oops",
    "{'a': 1}",
    "[1,2]",
    "\"x\"",
    "{\"a\":1}{\"b\":2}",
];

#[tokio::test]
async fn malformed_call_is_an_error_if_nothing_else_is_in_the_answer() {
    let gateway = gateway().await;
    for arguments in MALFORMED {
        let delta = fragment(0, Some("f"), arguments);
        let mut calls = delta["tool_calls"].clone();
        calls[0]["type"] = "function".into();
        let whole = json!({"role": "assistant", "content": null, "tool_calls": calls});
        gateway.simulator.script(chat_whole(whole, "tool_calls"));
        let reply = message(&gateway, json!({})).await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{}", reply.text());
        let script: ScriptedReply = chat_stream(&[delta], "tool_calls");
        gateway.simulator.script(script);
        let events = events(&message(&gateway, json!({"stream": true})).await);
        assert_eq!(events.last().unwrap()["type"], "error", "{arguments}");
        assert!(content(&events).is_empty(), "{arguments}");
    }
}

#[tokio::test]
async fn malformed_call_is_left_out_beside_text() {
    let gateway = gateway().await;
    for arguments in MALFORMED {
        let deltas = [said("Text"), fragment(0, Some("f"), arguments)];
        gateway.simulator.script(chat_stream(&deltas, "tool_calls"));
        let events = events(&message(&gateway, json!({"stream": true})).await);
        assert_eq!(content(&events), pairs(&[("text", "Text")]), "{arguments}");
        let end = &events[events.len() - 2];
        assert_eq!(end["delta"]["stop_reason"], "end_turn");
        let mut calls = deltas[1]["tool_calls"].clone();
        calls[0]["type"] = "function".into();
        let whole = json!({"role": "assistant", "content": "Text", "tool_calls": calls});
        gateway.simulator.script(chat_whole(whole, "tool_calls"));
        let reply = message(&gateway, json!({})).await;
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(warnings.contains("a call was left out"), "{warnings}");
        let body = reply.json();
        assert_eq!(body["stop_reason"], "end_turn");
        assert_eq!(body["content"].as_array().unwrap().len(), 1, "{body}");
    }
}

/// The client has the beginning of the call, so only an error keeps it from using the call.
#[tokio::test]
async fn call_that_becomes_malformed_ends_the_stream_with_an_error() {
    let gateway = gateway().await;
    for rest in ["oops}", ""] {
        let deltas = [start(0, "f"), more(0, "{\"a\":"), more(0, rest)];
        gateway.simulator.script(chat_stream(&deltas, "tool_calls"));
        let events = events(&message(&gateway, json!({"stream": true})).await);
        assert_eq!(events.last().unwrap()["type"], "error", "{rest}");
        assert_eq!(content(&events), pairs(&[("f", "{\"a\":")]));
    }
}

/// The stop reason says that the call is not complete.
#[tokio::test]
async fn call_that_the_limit_cuts_off_is_not_malformed() {
    let gateway = gateway().await;
    let deltas = [start(0, "f"), more(0, "{\"a\":\"tr")];
    gateway.simulator.script(chat_stream(&deltas, "length"));
    let events = events(&message(&gateway, json!({"stream": true})).await);
    assert_eq!(content(&events), pairs(&[("f", "{\"a\":\"tr")]));
    assert_eq!(
        events[events.len() - 2]["delta"]["stop_reason"],
        "max_tokens"
    );
}
