//! Replies without an answer are booked with the usage that Bedrock reports for them.

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use crate::support::{
    Gateway,
    money::{booked, budget, key, nano, of, standing},
    streamed, user,
};

const SETTINGS: &str = r#"
    [models.lite]
    target = "amazon.nova-lite-v1:0"
    price = { input = 2.0, output = 10.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.claude_invoke]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    api = "invoke"
    price = { input = 2.0, output = 10.0 }
    [models.messages]
    target = "us.anthropic.claude-opus-4-8"
    api = "messages"
    price = { input = 2.0, output = 10.0 }
    [models.gpt]
    target = "us.openai.gpt-6-sol"
    api = "responses"
    price = { input = 2.0, output = 10.0 }
"#;

/// What 50 tokens of input and 9 of output cost, in nano-dollars.
const COST: i64 = 50 * 2000 + 9 * 10_000;

fn converse(reason: &str, is_stream: bool) -> ScriptedReply {
    let usage = json!({"inputTokens": 50, "outputTokens": 9, "totalTokens": 59});
    if !is_stream {
        let message = json!({"role": "assistant", "content": []});
        let body = json!({"output": {"message": message}, "stopReason": reason, "usage": usage});
        return ScriptedReply::json(200, body.to_string());
    }
    ScriptedReply::stream(vec![
        encode_event("messageStart", r#"{"role":"assistant"}"#),
        encode_event("messageStop", &json!({"stopReason": reason}).to_string()),
        encode_event("metadata", &json!({"usage": usage}).to_string()),
    ])
}

/// A message of Claude without content, whose context window is full.
fn claude() -> Value {
    json!({"type": "message", "role": "assistant", "content": [],
        "stop_reason": "model_context_window_exceeded",
        "usage": {"input_tokens": 50, "output_tokens": 9}})
}

/// Events as the OpenAI-compatible endpoints and Messages send them.
fn sse(events: &[Value]) -> ScriptedReply {
    let lines = events.iter().map(|event| format!("data: {event}\n\n"));
    let mut reply = ScriptedReply::stream(vec![Bytes::from(lines.collect::<String>())]);
    reply.headers = vec![("content-type".into(), "text/event-stream".into())];
    reply
}

/// Sends one request that fails with `status`, and checks that each of the `requests` to Bedrock is booked as reported.
async fn check(gateway: &Gateway, request: &Value, status: StatusCode, requests: i64) {
    let (id, secret) = key(gateway, budget(5.0)).await;
    let before = gateway.simulator.received().len();
    let reply = gateway.as_key(&secret, request).await;
    assert_eq!(reply.status, status, "{request}: {}", reply.text());
    gateway
        .until(async || standing(gateway, &id).await.1 == "0")
        .await;
    let rows = booked(gateway, &id).await;
    assert_eq!(
        gateway.simulator.received().len() - before,
        requests as usize
    );
    assert_eq!(
        (rows.len(), rows[0].0.as_str(), nano(&rows[0].2)),
        (1, "actual", requests * COST),
        "{request}: {rows:?}"
    );
}

fn requests(model: &str) -> [(Value, bool); 2] {
    [
        (of(model, user("Hi")), false),
        (of(model, streamed("Hi")), true),
    ]
}

/// Was booked as presumed, at the worst case.
#[tokio::test]
async fn reply_without_an_answer_costs_what_converse_reports() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (reason, status, made) in [
        ("model_context_window_exceeded", StatusCode::BAD_REQUEST, 1),
        // A malformed answer is asked for again.
        ("malformed_tool_use", StatusCode::BAD_GATEWAY, 2),
        ("malformed_model_output", StatusCode::BAD_GATEWAY, 2),
    ] {
        for (request, is_stream) in requests("lite") {
            (0..made).for_each(|_| gateway.simulator.script(converse(reason, is_stream)));
            check(&gateway, &request, status, made).await;
        }
    }
}

#[tokio::test]
async fn stream_that_fails_after_reasoning_costs_what_converse_reports() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(5.0)).await;
    let thought = json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm"}}});
    let usage = json!({"usage": {"inputTokens": 50, "outputTokens": 9, "totalTokens": 59}});
    gateway.simulator.script(ScriptedReply::stream(vec![
        encode_event("messageStart", r#"{"role":"assistant"}"#),
        encode_event("contentBlockDelta", &thought.to_string()),
        encode_event("messageStop", r#"{"stopReason":"malformed_tool_use"}"#),
        encode_event("metadata", &usage.to_string()),
    ]));
    let reply = gateway.as_key(&secret, &of("lite", streamed("Hi"))).await;
    assert!(
        reply.text().contains("malformed_model_output"),
        "{}",
        reply.text()
    );
    assert!(!reply.text().contains("[DONE]"));
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let rows = booked(&gateway, &id).await;
    assert_eq!((rows[0].0.as_str(), nano(&rows[0].2)), ("actual", COST));
}

#[tokio::test]
async fn stream_without_an_answer_and_without_usage_is_presumed() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(5.0)).await;
    gateway.simulator.script(ScriptedReply::stream(vec![
        encode_event("messageStart", r#"{"role":"assistant"}"#),
        encode_event(
            "messageStop",
            r#"{"stopReason":"model_context_window_exceeded"}"#,
        ),
    ]));
    let reply = gateway.as_key(&secret, &of("lite", streamed("Hi"))).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    assert_eq!(booked(&gateway, &id).await[0].0, "presumed");
}

#[tokio::test]
async fn reply_without_an_answer_costs_what_claude_reports_on_its_own_routes() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (request, is_stream) in requests("messages") {
        let mut begun = claude();
        begun["stop_reason"] = Value::Null;
        gateway.simulator.script(match is_stream {
            false => ScriptedReply::json(200, claude().to_string()),
            true => sse(&[
                json!({"type": "message_start", "message": begun}),
                json!({"type": "message_delta", "delta": {"stop_reason": claude()["stop_reason"]},
                    "usage": {"output_tokens": 9}}),
                json!({"type": "message_stop"}),
            ]),
        });
        check(&gateway, &request, StatusCode::BAD_REQUEST, 1).await;
    }
    let whole = ScriptedReply::json(200, claude().to_string());
    gateway.simulator.script(whole);
    let request = of("claude_invoke", user("Hi"));
    check(&gateway, &request, StatusCode::BAD_REQUEST, 1).await;
}

#[tokio::test]
async fn response_that_failed_costs_what_gpt_reports() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let response = json!({"id": "resp_1", "status": "failed", "output": [],
        "error": {"code": "server_error", "message": "No."},
        "usage": {"input_tokens": 50, "output_tokens": 9}});
    for (request, is_stream) in requests("gpt") {
        gateway.simulator.script(match is_stream {
            false => ScriptedReply::json(200, response.to_string()),
            true => sse(&[json!({"type": "response.failed", "response": response})]),
        });
        check(&gateway, &request, StatusCode::BAD_GATEWAY, 1).await;
    }
}
