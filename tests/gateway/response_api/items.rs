//! Items of the input.

use http::StatusCode;
use serde_json::{Value, json};

use super::{asking, function, with};
use crate::support::Gateway;

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn input(items: Value) -> Value {
    with(asking(""), "input", items)
}

#[tokio::test]
async fn items_become_turns_in_their_order() {
    let gateway = Gateway::start().await;
    let mut request = input(json!([
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]},
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": "{\"a\": 1}", "status": "completed"},
        {"type": "function_call", "call_id": "call_2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_2", "output": "two"},
        {"type": "function_call_output", "call_id": "call_1", "output": [
            {"type": "input_text", "text": "one"}, {"type": "input_image", "image_url": PIXEL}
        ]},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "And now?"},
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGk="}
        ]},
    ]));
    request["tools"] = json!([function("look")]);
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-warnings"), None);
    let sent = gateway.last_sent();
    assert_eq!(sent["system"][0]["text"], "Rules.");
    let messages = sent["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let turn = messages[1]["content"].as_array().unwrap();
    assert_eq!(turn[0]["text"], "Looking.");
    assert_eq!(turn[1]["toolUse"]["input"], json!({"a": 1}));
    assert_eq!(turn[2]["toolUse"]["toolUseId"], "call_2");
    let results = messages[2]["content"].to_string();
    for expected in [
        "\"two\"",
        "\"one\"",
        "\"image\"",
        "And now?",
        "\"document\"",
    ] {
        assert!(results.contains(expected), "{expected}: {results}");
    }
}

#[tokio::test]
async fn unknown_items_parts_and_members_are_dropped_with_a_warning() {
    let gateway = Gateway::start().await;
    let mut request = input(json!([
        {"type": "telepathy", "content": "x"},
        {"type": "message", "role": "user", "phase": "x", "content": [
            {"type": "input_text", "text": "Hi"}, {"type": "input_smell", "smell": "x"}
        ]},
        {"type": "message", "role": "assistant", "content": null},
    ]));
    request["future_member"] = 1.into();
    request["client_metadata"] = json!({"session_id": "secret"});
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    for expected in [
        "input[0]: ignored, 'telepathy'",
        "input[1].content[1]: ignored, 'input_smell'",
        "future_member: ignored",
    ] {
        assert!(warnings.contains(expected), "{warnings}");
    }
    assert!(!warnings.contains("client_metadata"), "{warnings}");
    assert!(!gateway.last_sent().to_string().contains("secret"));
}

#[tokio::test]
async fn calls_of_tools_that_openai_runs_become_text() {
    let gateway = Gateway::start().await;
    let reply = gateway
        .respond(&input(json!([
            {"role": "user", "content": "Search"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "weather"}},
            {"role": "user", "content": "And?"},
        ])))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("input[1]: sent as text"), "{warnings}");
    let sent = gateway.last_sent();
    assert!(
        sent["messages"][1]["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("weather")
    );
}

#[tokio::test]
async fn invalid_items_are_rejected_with_their_path() {
    let gateway = Gateway::start().await;
    for (item, param) in [
        (json!({"role": "critic", "content": "x"}), "input[1].role"),
        (
            json!({"type": "function_call", "name": "f", "arguments": "{}"}),
            "input[1]",
        ),
        (
            json!({"type": "function_call", "call_id": "", "name": "f", "arguments": "{}"}),
            "input[1].call_id",
        ),
        (
            json!({"type": "message", "role": "user", "content": 5}),
            "input[1]",
        ),
        (json!(["x"]), "input[1]"),
        (
            json!({"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}),
            "input[1].content[0].file_id",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]}),
            "input[1].content[0].file_url",
        ),
        (
            json!({"type": "compaction", "encrypted_content": "x"}),
            "input[1].encrypted_content",
        ),
    ] {
        let reply = gateway
            .respond(&input(json!([{"role": "user", "content": "Hi"}, item])))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{item}");
        let error = reply.error();
        assert_eq!(error["param"], param, "{item}: {error}");
    }
}

#[tokio::test]
async fn configuration_updates_override_the_request() {
    let gateway = Gateway::start().await;
    let mut request = input(json!([
        {"role": "user", "content": "Hi"},
        {"type": "configuration_update", "reasoning": {"effort": "low", "summary": "auto"}},
    ]));
    request["reasoning"] = json!({"effort": "none"});
    let reply = gateway.respond(&request).await.json();
    assert_eq!(reply["output"][0]["type"], "reasoning", "{reply}");
    assert_eq!(reply["output"][0]["summary"][0]["type"], "summary_text");
}
