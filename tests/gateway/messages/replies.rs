//! Replies, whole and streamed.

use http::StatusCode;
use serde_json::{Value, json};

use super::{events, joined, last_sent, message, send, types};
use crate::support::{Gateway, Reply};

/// A model that thinks if it is asked to, and one that does not think.
const SETTINGS: &str = r#"
    [models.haiku]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    [models.oss]
    target = "openai.gpt-oss-120b-1:0"
"#;

async fn sent_as(gateway: &Gateway, model: &str, request: &Value, stream: bool) -> Reply {
    let mut request = request.clone();
    request["model"] = model.into();
    request["stream"] = stream.into();
    send(gateway, &request).await
}

#[tokio::test]
async fn whole_reply_is_a_message_object() {
    let gateway = Gateway::start().await;
    let reply = send(&gateway, &message("Hello there")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    let expected = json!({
        "id": body["id"], "type": "message", "role": "assistant", "model": "claude",
        "content": [{"type": "text", "text": "You said: Hello there"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {
            "input_tokens": 2, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 0}, "cost": 0.000_048_4,
        },
    });
    assert_eq!(body, expected);
    let request_id = reply.header("request-id").unwrap();
    assert_eq!(reply.header("x-request-id"), Some(request_id));
    assert_eq!(
        request_id.strip_prefix("req_"),
        body["id"].as_str().unwrap().strip_prefix("msg_")
    );
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.0000484"));
}

#[tokio::test]
async fn stream_has_the_events_of_the_api_in_order() {
    let gateway = Gateway::start().await;
    let mut request = message("Hi");
    request["stream"] = true.into();
    let reply = send(&gateway, &request).await;
    assert_eq!(
        reply.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let events = events(&reply);
    assert_eq!(
        types(&events),
        [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(events[0]["message"]["content"], json!([]));
    assert_eq!(events[0]["message"]["stop_reason"], Value::Null);
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 0);
    assert_eq!(
        events[2]["content_block"],
        json!({"type": "text", "text": ""})
    );
    assert_eq!(events[7]["usage"]["input_tokens"], 1);
}

/// Tools, thinking and text, whole and streamed, on models with signed thinking, unsigned thinking and none.
/// Shortens seals, which are different every time.
fn unsealed(mut message: Value) -> Value {
    for block in message["content"].as_array_mut().into_iter().flatten() {
        if block["signature"]
            .as_str()
            .is_some_and(|text| text.starts_with("lt1."))
        {
            block["signature"] = "sealed".into();
        }
    }
    message
}

#[tokio::test]
async fn stream_and_whole_message_have_the_same_blocks() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let tool = json!({"name": "look_up", "description": "Looks up", "input_schema":
        {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}});
    let mut request = message("Use look_up now");
    request["tools"] = json!([tool]);
    let mut thinking = request.clone();
    thinking["max_tokens"] = 4000.into();
    thinking["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    for (model, request) in [
        ("claude", &request),
        ("haiku", &thinking),
        ("nova", &request),
        ("oss", &thinking),
        ("oss", &message("Hi")),
    ] {
        let whole = sent_as(&gateway, model, request, false).await;
        assert_eq!(whole.status, StatusCode::OK, "{model}: {}", whole.text());
        let whole = unsealed(whole.json());
        let streamed = joined(&events(&sent_as(&gateway, model, request, true).await));
        let streamed = unsealed(streamed);
        for member in [
            "role",
            "model",
            "content",
            "stop_reason",
            "stop_sequence",
            "usage",
        ] {
            assert_eq!(whole[member], streamed[member], "{model} {member}");
        }
        let is_call = whole["content"].as_array().unwrap().last().unwrap()["type"] == "tool_use";
        assert_eq!(whole["stop_reason"] == "tool_use", is_call, "{whole}");
    }
}

#[tokio::test]
async fn signatures_are_those_that_bedrock_sends_and_come_back_in_place() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = message("Use look_up now");
    request["max_tokens"] = 4000.into();
    request["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    request["tools"] =
        json!([{"name": "look_up", "input_schema": {"type": "object", "properties": {}}}]);
    let first = sent_as(&gateway, "haiku", &request, true).await;
    let first = joined(&events(&first));
    let content = &first["content"];
    assert_eq!(content[0]["type"], "thinking", "{first}");
    assert_eq!(content[0]["signature"], "c2ltdWxhdGVkIHNpZ25hdHVyZQ==");
    assert_eq!(content[1]["input"], json!({}));
    let result =
        json!({"type": "tool_result", "tool_use_id": content[1]["id"], "content": "found"});
    let turns = request["messages"].as_array_mut().unwrap();
    turns.push(json!({"role": "assistant", "content": content}));
    turns.push(json!({"role": "user", "content": [result]}));
    let second = sent_as(&gateway, "haiku", &request, false).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    let sent = last_sent(&gateway);
    let blocks = &sent["messages"][1]["content"];
    assert_eq!(
        blocks[0]["reasoningContent"]["reasoningText"]["signature"],
        "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="
    );
    assert!(blocks[1]["toolUse"].is_object(), "{sent}");
}

#[tokio::test]
async fn hidden_thinking_of_models_that_do_not_sign_it_is_left_out() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = message("Hi");
    request["max_tokens"] = 4000.into();
    for (display, count) in [("omitted", 1), ("summarized", 2)] {
        request["thinking"] = json!({"type": "adaptive", "display": display});
        request["output_config"] = json!({"effort": "high"});
        for stream in [false, true] {
            let reply = sent_as(&gateway, "oss", &request, stream).await;
            let message = match stream {
                true => joined(&events(&reply)),
                false => reply.json(),
            };
            assert_eq!(
                message["content"].as_array().unwrap().len(),
                count,
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn stop_reasons_are_those_of_the_api() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut short = message("one two three four five six");
    short["max_tokens"] = 3.into();
    let mut stopped = message("one STOP two");
    stopped["stop_sequences"] = json!(["STOP"]);
    for (request, reason, sequence) in [
        (message("Hi"), "end_turn", Value::Null),
        (short, "max_tokens", Value::Null),
        (stopped, "stop_sequence", "STOP".into()),
    ] {
        let reply = sent_as(&gateway, "haiku", &request, false).await.json();
        assert_eq!(reply["stop_reason"], reason, "{reply}");
        assert_eq!(reply["stop_sequence"], sequence, "{reply}");
        let stream = joined(&events(&sent_as(&gateway, "haiku", &request, true).await));
        assert_eq!(stream["stop_reason"], reason);
        assert_eq!(stream["stop_sequence"], sequence);
    }
}
