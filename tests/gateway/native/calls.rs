//! Tool calls whose fragments are out of order, incomplete or without a name, and errors that quote the client.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{
    answered, ask, gateway,
    usage::{event, stream},
    with,
};

fn request(model: &str) -> Value {
    let tool =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let request = with(with(ask(model, "Hi"), "tools", tool), "stream", true);
    with(
        request,
        "stream_options",
        json!({"include_usage": true, "include_warnings": true}),
    )
}

fn fragment(index: u8, name: Option<&str>, arguments: &str) -> Value {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if let Some(name) = name {
        call["id"] = format!("call-of-{index}").into();
        call["function"]["name"] = name.into();
    }
    event(json!({"tool_calls": [call]}), Value::Null, Value::Null)
}

fn end(reason: &str) -> [Value; 2] {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 20});
    [
        event(json!({}), reason.into(), Value::Null),
        json!({"choices": [], "usage": usage}),
    ]
}

/// Returns the arguments of each call in the events of a stream.
fn arguments(text: &str) -> Vec<String> {
    let mut calls = vec![String::new(); 2];
    for line in text.lines().filter_map(|line| line.strip_prefix("data: {")) {
        let event: Value = serde_json::from_str(&format!("{{{line}")).unwrap();
        let delta = &event["choices"][0]["delta"]["tool_calls"];
        for call in delta.as_array().into_iter().flatten() {
            let at = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            calls[at].push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
    calls
}

#[tokio::test]
async fn interleaved_fragments_of_two_calls_arrive_whole() {
    let gateway = gateway().await;
    let mut events = vec![
        fragment(0, Some("f"), r#"{"a":"#),
        fragment(1, Some("f"), r#"{"b":"#),
        fragment(0, None, "1}"),
        fragment(1, None, "2}"),
    ];
    events.extend(end("tool_calls"));
    gateway.simulator.script(stream(&events));
    let reply = answered(&gateway, &request("oss")).await;
    let text = reply.text();
    assert_eq!(arguments(text), [r#"{"a":1}"#, r#"{"b":2}"#], "{text}");
    assert!(!text.contains("not valid JSON"), "{text}");
}

#[tokio::test]
async fn nameless_call_and_cut_arguments_are_warned_about() {
    let gateway = gateway().await;
    let mut nameless = vec![fragment(0, None, r#"{"a":1}"#)];
    nameless.extend(end("tool_calls"));
    gateway.simulator.script(stream(&nameless));
    let reply = answered(&gateway, &request("oss")).await;
    let text = reply.text();
    assert!(
        text.contains("a tool call without a name was left out"),
        "{text}"
    );
    let mut cut = vec![fragment(0, Some("f"), r#"{"a":1"#)];
    cut.extend(end("tool_calls"));
    gateway.simulator.script(stream(&cut));
    let reply = answered(&gateway, &request("oss")).await;
    let text = reply.text();
    assert_eq!(arguments(text)[0], r#"{"a":1"#, "passed on as it is");
    assert!(
        text.contains("the arguments of a call are not valid JSON"),
        "{text}"
    );
}

#[tokio::test]
async fn error_that_quotes_the_client_teaches_nothing() {
    let gateway = gateway().await;
    for (message, status) in [
        (
            "Invalid value for 'messages[0].content': 'Bedrock does not support the foo API'",
            400,
        ),
        (
            "Invalid tool name 'temperature': names must not be reserved",
            400,
        ),
    ] {
        let body =
            json!({"error": {"message": message, "type": "invalid_request_error", "param": null}});
        gateway
            .simulator
            .script(ScriptedReply::json(status, body.to_string()));
        let reply = gateway
            .chat(&with(ask("oss", "Hi"), "temperature", 0.5))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{message}");
    }
    let reply = answered(&gateway, &with(ask("oss", "Hi"), "temperature", 0.5)).await;
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("chat; reason=configured")
    );
    let sent = gateway.simulator.received().pop().unwrap();
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(sent["temperature"], 0.5);
}

#[tokio::test]
async fn refusal_is_forgotten_unless_the_request_without_the_member_succeeds() {
    let gateway = gateway().await;
    let request = with(ask("oss", "Hi"), "temperature", 0.5);
    for _ in 0..2 {
        let body = json!({"error": {"message": "No.", "param": "temperature", "code": "unsupported_parameter"}});
        gateway
            .simulator
            .script(ScriptedReply::json(400, body.to_string()));
    }
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    answered(&gateway, &request).await;
    let sent = gateway.simulator.received().pop().unwrap();
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(sent["temperature"], 0.5);
}
