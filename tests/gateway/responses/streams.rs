//! Streams of Responses that are cut anywhere, or break.

use bytes::Bytes;
use lintel::simulator::ScriptedReply;
use serde_json::json;

use super::{answered, ask, gateway, with};
use crate::{
    golden::replies::joined,
    support::{
        Gateway,
        money::{booked, budget, key, nano, standing},
    },
};

fn event(event: &serde_json::Value) -> String {
    format!(
        "event: {}\r\ndata: {event}\r\n\r\n",
        event["type"].as_str().unwrap()
    )
}

/// A stream with a comment, an unknown event, and an event after the end.
fn recorded() -> String {
    let item = json!({"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Häm"}]});
    let usage = json!({
        "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "output_tokens_details": {"reasoning_tokens": 7},
    });
    [
        ": keep-alive\n\n".to_owned(),
        event(&json!({"type": "response.created", "response": {"status": "in_progress"}})),
        event(&json!({"type": "response.output_item.added", "output_index": 0, "item": {"id": "rs_1", "type": "reasoning", "summary": null}})),
        event(&json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Häm"})),
        event(&json!({"type": "response.output_item.done", "output_index": 0, "item": item})),
        event(&json!({"type": "response.output_text.delta", "output_index": 1, "delta": "Gr"})),
        event(&json!({"type": "response.something.new", "output_index": 1, "delta": 7})),
        event(&json!({"type": "response.output_text.delta", "output_index": 1, "delta": "üße"})),
        event(&json!({"type": "response.completed", "response": {"status": "completed", "output": [], "usage": usage}})),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

#[tokio::test]
async fn stream_is_decoded_however_it_is_cut() {
    let gateway = gateway().await;
    for size in [1, 2, 3, 7, 64, 100_000] {
        let recorded = recorded();
        let parts = recorded.as_bytes().chunks(size).map(Bytes::copy_from_slice);
        gateway
            .simulator
            .script(ScriptedReply::stream(parts.collect()));
        let request = with(ask("gpt", "Hi"), "stream", true);
        let request = with(request, "stream_options", json!({"include_usage": true}));
        let reply = answered(&gateway, &request).await;
        let (message, rest) = joined(&reply.events());
        assert_eq!(message["content"], "Grüße", "{size}");
        assert_eq!(message["reasoning_content"], "Häm", "{size}");
        let usage = &rest["usage"];
        assert_eq!(usage["prompt_tokens"], 100);
        assert_eq!(usage["completion_tokens"], 20);
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 60);
        assert_eq!(usage["prompt_tokens_details"]["cache_write_tokens"], 30);
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 7);
    }
}

/// Sends a stream with a key that has a budget. Returns the text of the reply and what was settled.
async fn broken(gateway: &Gateway, model: &str, fault: &str) -> (String, i64) {
    let (id, secret) = key(gateway, budget(1.0)).await;
    let text = format!("one two three four {fault}");
    let request = with(ask(model, &text), "stream", true);
    let reply = gateway.as_key(&secret, &request).await;
    gateway
        .until(async || !booked(gateway, &id).await.is_empty())
        .await;
    let (settled, reserved) = standing(gateway, &id).await;
    assert_eq!(reserved, "0", "{fault}");
    (reply.text().to_owned(), nano(&settled))
}

#[tokio::test]
async fn stream_without_a_terminal_event_never_looks_complete() {
    let gateway = gateway().await;
    for fault in [
        "cut",
        "reset",
        "truncate",
        "no-stop",
        "bad-crc",
        "exception server_error",
    ] {
        for model in ["gpt", "daybreak"] {
            let (text, settled) = broken(&gateway, model, &format!("[simulate {fault}]")).await;
            assert!(text.contains("\"error\""), "{model} {fault}: {text}");
            assert!(!text.contains("[DONE]"), "{model} {fault}: {text}");
            assert!(
                !text.contains("\"finish_reason\":\"stop\""),
                "{model} {fault}: {text}"
            );
            // Hidden reasoning may have used all of the output.
            assert!(settled >= 4096 * 10_000, "{model} {fault}: {settled}");
        }
    }
    let (text, settled) = broken(&gateway, "gpt", "[simulate no-metadata]").await;
    assert!(text.contains("[DONE]"), "only the usage is missing: {text}");
    assert!(settled > 0);
}

#[tokio::test]
async fn failure_before_the_first_chunk_is_an_error_with_a_status() {
    let gateway = gateway().await;
    let request = |fault: &str| with(ask("gpt", &format!("[simulate {fault}]")), "stream", true);
    for (fault, status) in [
        ("first-exception rate_limit_exceeded", 429),
        ("first-exception server_error", 502),
        ("throttle", 429),
    ] {
        let reply = gateway.chat(&request(fault)).await;
        assert_eq!(reply.status, status, "{fault}: {}", reply.text());
        reply.error();
    }
}

#[tokio::test]
async fn streamed_answer_is_the_whole_one() {
    let gateway = gateway().await;
    for model in ["gpt", "daybreak", "gemma", "oss"] {
        for text in ["Hello there", "[simulate words 60]", "use look and find_it"] {
            let request = with(ask(model, text), "max_tokens", 40);
            let request = with(request, "tools", super::tools());
            let request = with(request, "reasoning_effort", "low");
            let whole = answered(&gateway, &request).await.json();
            let stream = answered(&gateway, &with(request, "stream", true)).await;
            let (message, rest) = joined(&stream.events());
            let choice = &whole["choices"][0];
            for member in ["content", "reasoning_content", "tool_calls"] {
                assert_eq!(choice["message"][member], message[member], "{model} {text}");
            }
            assert_eq!(
                choice["finish_reason"], rest["finish_reason"],
                "{model} {text}"
            );
        }
    }
}
