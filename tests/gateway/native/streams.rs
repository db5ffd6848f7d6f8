//! Streams of the OpenAI-compatible endpoints that are cut anywhere, or break.

use bytes::Bytes;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{answered, ask, gateway, with};
use crate::support::{
    Gateway,
    money::{booked, budget, key, nano, standing},
};

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn delta(delta: Value) -> String {
    event(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

/// Returns the parts of a stream of this text.
fn sse(text: &str, size: usize) -> ScriptedReply {
    let parts = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
    let mut reply = ScriptedReply::stream(parts.collect());
    reply.headers = vec![("content-type".into(), "text/event-stream".into())];
    reply
}

/// Usage comes twice, a comment in between, and the element of the reasoning in pieces.
fn recorded() -> String {
    let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 10, "completion_tokens": 1}});
    let usage = json!({"choices": [], "service_tier": "flex", "usage": {
        "prompt_tokens": 100, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }});
    [
        ": keep-alive\r\n\r\n".to_owned(),
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"content": "<reason"})),
        delta(json!({"content": "ing>Häm</reas"})),
        delta(json!({"content": "oning>Gr"})),
        delta(json!({"content": "üße", "tool_calls": null})),
        event(&finish),
        event(&usage),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

#[tokio::test]
async fn stream_is_decoded_however_it_is_cut() {
    let gateway = gateway().await;
    let mut expected = None;
    for size in [1, 2, 3, 7, 64, 100_000] {
        gateway.simulator.script(sse(&recorded(), size));
        let request = with(ask("oss", "Hi"), "stream", true);
        let request = with(request, "stream_options", json!({"include_usage": true}));
        let reply = answered(&gateway, &request).await;
        let (mut content, mut reasoning, mut usage) = (String::new(), String::new(), Value::Null);
        for event in reply.events().iter().filter(|event| **event != "[DONE]") {
            let chunk: Value = serde_json::from_str(event).unwrap();
            let delta = &chunk["choices"][0]["delta"];
            content += delta["content"].as_str().unwrap_or_default();
            reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
            if !chunk["usage"].is_null() {
                usage = chunk["usage"].clone();
            }
        }
        assert_eq!(
            (content.as_str(), reasoning.as_str()),
            ("Grüße", "Häm"),
            "{size}"
        );
        assert_eq!(usage["prompt_tokens"], 100);
        assert_eq!(usage["completion_tokens"], 20, "the last usage is right");
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 60);
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 7);
        let before = expected.get_or_insert(usage.clone());
        assert_eq!(*before, usage, "{size}");
    }
}

/// Sends a stream with a key that has a budget. Returns the text of the reply and what was settled.
async fn broken(gateway: &Gateway, model: &str, fault: &str) -> (String, i64) {
    let (id, secret) = key(gateway, budget(1.0)).await;
    let request = with(
        ask(model, &format!("one two three four {fault}")),
        "stream",
        true,
    );
    let reply = gateway.as_key(&secret, &request).await;
    gateway
        .until(async || !booked(gateway, &id).await.is_empty())
        .await;
    let (settled, reserved) = standing(gateway, &id).await;
    assert_eq!(reserved, "0", "{fault}");
    (reply.text().to_owned(), nano(&settled))
}

#[tokio::test]
async fn stream_without_its_end_never_looks_complete() {
    let gateway = gateway().await;
    for fault in [
        "cut",
        "reset",
        "truncate",
        "no-stop",
        "no-done",
        "bad-crc",
        "exception server_error",
    ] {
        for model in ["oss", "oss_mantle"] {
            let (text, settled) = broken(&gateway, model, &format!("[simulate {fault}]")).await;
            assert!(text.contains("\"error\""), "{model} {fault}: {text}");
            assert!(!text.contains("[DONE]"), "{model} {fault}: {text}");
            assert!(
                !text.contains("\"finish_reason\":\"stop\""),
                "{model} {fault}: {text}"
            );
            assert!(settled > 0, "{model} {fault}: what was begun is billed");
        }
    }
    let (text, settled) = broken(&gateway, "oss", "[simulate no-metadata]").await;
    assert!(text.contains("[DONE]"), "only the usage is missing: {text}");
    assert!(settled > 0);
}

/// The tokens of hidden reasoning are billed, although nothing of them was seen.
#[tokio::test]
async fn broken_stream_with_hidden_reasoning_is_booked_at_its_limit() {
    let gateway = gateway().await;
    let (_, settled) = broken(&gateway, "gpt", "[simulate cut]").await;
    assert!(settled >= 4096 * 10_000, "{settled}");
}

#[tokio::test]
async fn failure_before_the_first_chunk_is_an_error_with_a_status() {
    let gateway = gateway().await;
    let request = |fault: &str| with(ask("gpt", &format!("[simulate {fault}]")), "stream", true);
    for (fault, status) in [
        ("first-exception rate_limit_error", 429),
        ("first-exception server_error", 502),
        ("throttle", 429),
    ] {
        let reply = gateway.chat(&request(fault)).await;
        assert_eq!(reply.status, status, "{fault}: {}", reply.text());
        reply.error();
    }
}

#[tokio::test]
async fn idle_stream_ends_with_an_error() {
    let settings = "[models.slow]\ntarget = \"openai.gpt-oss-120b-1:0\"\napi = \"chat\"\nidle_timeout = \"100ms\"\n";
    let gateway = Gateway::start_with(settings).await;
    let reply = answered(
        &gateway,
        &with(ask("slow", "one two [simulate stall]"), "stream", true),
    )
    .await;
    assert!(reply.text().contains("upstream_idle"), "{}", reply.text());
}
