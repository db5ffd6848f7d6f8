//! Compaction: a summary takes the place of a conversation.

use http::StatusCode;
use serde_json::{Value, json};

use super::{asking, events, function, items_of, last_response, streamed, types, with};
use crate::support::{Gateway, KEY};

fn history(last: Value) -> Value {
    let mut request = with(asking(""), "tools", json!([function("look")]));
    request["input"] = json!([
        {"role": "user", "content": "Fix the bug"},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "seen"},
        last,
    ]);
    request
}

#[tokio::test]
async fn trigger_returns_exactly_one_compaction_item() {
    let gateway = Gateway::start().await;
    let request = history(json!({"type": "compaction_trigger"}));
    let reply = gateway.respond(&streamed(request)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let events = events(&reply);
    assert_eq!(
        types(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "output_item.done",
            "completed"
        ]
    );
    let output = last_response(&events)["output"].clone();
    assert_eq!(output.as_array().unwrap().len(), 1);
    assert_eq!(output[0]["type"], "compaction");
    assert!(output[0]["id"].as_str().unwrap().starts_with("cmp_"));
    assert!(
        last_response(&events)["usage"]["output_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    let sent = gateway.last_sent();
    let last = sent["messages"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .to_string();
    assert!(last.contains("Write a summary"), "{last}");
    let request = with(
        asking(""),
        "input",
        json!([{"role": "user", "content": "Fix the bug"}, output[0], {"role": "user", "content": "Go on"}]),
    );
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.last_sent().to_string();
    assert!(
        sent.contains("Summary of the conversation so far:"),
        "{sent}"
    );
}

#[tokio::test]
async fn path_for_compaction_returns_its_own_object() {
    let gateway = Gateway::start().await;
    let request = history(json!({"role": "user", "content": "Next"}));
    let reply = gateway
        .ask("/v1/responses/compact", KEY, &streamed(request))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["object"], "response.compaction");
    assert_eq!(items_of(&body, "compaction").len(), 1);
    assert!(body["usage"]["total_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn compaction_of_another_gateway_is_rejected() {
    let (first, second) = (Gateway::start().await, Gateway::start().await);
    let request = history(json!({"type": "compaction_trigger"}));
    let item = first.respond(&request).await.json()["output"][0].clone();
    let request = with(
        asking(""),
        "input",
        json!([item, {"role": "user", "content": "Go on"}]),
    );
    assert_eq!(first.respond(&request).await.status, StatusCode::OK);
    let reply = second.respond(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "invalid_encrypted_content");
}
