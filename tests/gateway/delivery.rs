//! Whether an answer is streamed: the request to Bedrock, the header and the timeout agree.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, Reply};

const STREAMED: &str = "converse";
const REPLAYED: &str = "converse; reason=stream_not_offered";
const UNENFORCED: &str = "converse; schema=not_enforced";
const REPLAYED_UNENFORCED: &str = "converse; reason=stream_not_offered; schema=not_enforced";

/// Llama 3.1 takes tools only in a whole reply, and cannot be forced to call one. `eager` times out
/// soon before the first token of a stream, and `curt` soon for a whole answer.
const SETTINGS: &str = r#"
    [models.llama]
    target = "us.meta.llama3-1-70b-instruct-v1:0"
    [models.repairing]
    target = "us.meta.llama3-1-70b-instruct-v1:0"
    structured = "repair"
    [models.eager]
    target = "us.meta.llama3-1-70b-instruct-v1:0"
    first_token_timeout = "100ms"
    timeout = "20s"
    [models.curt]
    target = "us.meta.llama3-1-70b-instruct-v1:0"
    first_token_timeout = "20s"
    timeout = "100ms"
"#;

fn request(model: &str, text: &str) -> Value {
    json!({"model": model, "stream": true, "stream_options": {"include_usage": true},
           "response_format": {"type": "json_object"},
           "messages": [{"role": "user", "content": text}]})
}

fn with_tools(mut request: Value) -> Value {
    request["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    request
}

fn with_schema(mut request: Value) -> Value {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    request["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}});
    request
}

fn with_history_of_calls(mut request: Value) -> Value {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    request["messages"] = json!([
        {"role": "user", "content": "Use f"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "user", "content": "Go on"}]);
    request
}

/// Checks that the client got a stream with a JSON answer, and usage at its end.
fn assert_json_stream(reply: &Reply) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let events = reply.events();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let usage = &chunks.last().unwrap()["usage"];
    assert!(usage["completion_tokens"].as_u64().unwrap() > 0);
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    let answer: Value = serde_json::from_str(&text).expect("an answer in JSON");
    assert!(answer.is_object(), "{answer}");
}

#[tokio::test]
async fn the_request_and_the_header_agree_for_every_kind_of_json_answer() {
    let plain = |model: &str| request(model, "Say it in JSON");
    for (request, route) in [
        (plain("llama"), STREAMED),
        (with_schema(plain("llama")), UNENFORCED),
        (with_tools(plain("llama")), REPLAYED),
        (with_tools(with_schema(plain("llama"))), REPLAYED_UNENFORCED),
        (with_history_of_calls(plain("llama")), REPLAYED),
        (plain("repairing"), REPLAYED),
        (with_schema(plain("repairing")), REPLAYED_UNENFORCED),
    ] {
        let gateway = Gateway::start_with(SETTINGS).await;
        let reply = gateway.chat(&request).await;
        assert_json_stream(&reply);
        assert_eq!(reply.header("x-lintel-route"), Some(route), "{request}");
        let path = gateway.sent().path;
        assert_eq!(
            path.ends_with("/converse-stream"),
            !route.contains("stream_not_offered"),
            "{path} for {request}"
        );
        let body = &gateway.bodies()[0];
        assert!(
            body["toolConfig"].is_null() || route.contains("stream_not_offered"),
            "tools are not sent in a stream: {body}"
        );
    }
}

#[tokio::test]
async fn a_whole_request_is_neither_streamed_nor_replayed() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = with_tools(request("llama", "Say it in JSON"));
    request["stream"] = false.into();
    request.as_object_mut().unwrap().remove("stream_options");
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.header("x-lintel-route"), Some(STREAMED));
    assert!(gateway.sent().path.ends_with("/converse"));
    let content = &reply.json()["choices"][0]["message"]["content"];
    let answer: Value = serde_json::from_str(content.as_str().unwrap()).unwrap();
    assert!(answer.is_object());
}

#[tokio::test]
async fn the_timeout_is_that_of_the_delivery() {
    let slow = |model: &str| request(model, "Say it in JSON [simulate slow 400ms]");
    for (request, timeout) in [
        (slow("eager"), Some("first_token_timeout")),
        (with_schema(slow("eager")), Some("first_token_timeout")),
        (with_tools(slow("eager")), None),
        (slow("curt"), None),
        (with_schema(slow("curt")), None),
        (with_tools(slow("curt")), Some("upstream_timeout")),
    ] {
        let gateway = Gateway::start_with(SETTINGS).await;
        let reply = gateway.chat(&request).await;
        if let Some(timeout) = timeout {
            assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT, "{request}");
            assert_eq!(reply.error()["code"], timeout, "{request}");
        } else {
            assert_json_stream(&reply);
        }
    }
}
