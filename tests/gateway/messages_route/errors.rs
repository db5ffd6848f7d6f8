//! Errors of Messages, and streams that break.

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{ENDPOINTS, start};
use crate::support::{money::of, streamed, user};

fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

#[tokio::test]
async fn every_error_has_its_status_and_code() {
    let gateway = start().await;
    for (status, body, expected, code) in [
        (
            400,
            error("invalid_request_error", "max_tokens: too high"),
            400,
            "invalid_request",
        ),
        (
            400,
            error("invalid_request_error", "Internal server error"),
            502,
            "upstream_error",
        ),
        (
            400,
            error(
                "invalid_request_error",
                "prompt is too long: 9 tokens > 8 maximum",
            ),
            400,
            "context_length_exceeded",
        ),
        (
            403,
            error("permission_error", "No"),
            502,
            "upstream_access_denied",
        ),
        (
            404,
            error("not_found_error", "No such model"),
            404,
            "model_not_found",
        ),
        (
            429,
            error("rate_limit_error", "Slow down"),
            429,
            "rate_limit_exceeded",
        ),
        (
            529,
            error("overloaded_error", "Overloaded"),
            503,
            "upstream_unavailable",
        ),
        (
            400,
            error(
                "invalid_request_error",
                "The data retention mode 'none' is not available",
            ),
            403,
            "data_retention",
        ),
        (
            200,
            json!({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}),
            502,
            "upstream_malformed",
        ),
        (
            200,
            json!({"type": "message", "content": []}),
            502,
            "upstream_truncated",
        ),
        (
            200,
            error("overloaded_error", "Overloaded"),
            503,
            "upstream_unavailable",
        ),
    ] {
        for request in [user("Hi"), streamed("Hi")] {
            gateway
                .simulator
                .script(ScriptedReply::json(status, body.to_string()));
            let is_stream = request["stream"] == true;
            let reply = gateway.chat(&of("once", request)).await;
            assert_eq!(reply.status, expected, "{body}: {}", reply.text());
            let not_a_stream = is_stream && status == 200 && body["type"] == "message";
            let code = if not_a_stream {
                "upstream_malformed"
            } else {
                code
            };
            assert_eq!(reply.error()["code"], code, "{body}");
        }
    }
}

/// A refusal of the endpoint moves a call to the next route, once.
#[tokio::test]
async fn refused_route_is_left_for_another() {
    let gateway = crate::support::Gateway::start_with(
        "[models.auto]\ntarget = \"us.anthropic.claude-opus-4-8\"\nfacts = { routes = [\"messages\", \"converse\"] }\n",
    )
    .await;
    let refusal = error(
        "invalid_request_error",
        "The model does not support the 'messages' API",
    );
    gateway
        .simulator
        .script(ScriptedReply::json(400, refusal.to_string()));
    let reply = gateway.chat(&of("auto", user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("converse; reason=learned")
    );
}

#[tokio::test]
async fn stream_without_its_end_never_looks_complete() {
    let gateway = start().await;
    for name in ENDPOINTS {
        for fault in [
            "cut",
            "reset",
            "truncate",
            "no-stop",
            "no-done",
            "bad-crc",
            "exception api_error",
            "exception overloaded_error",
        ] {
            let text = format!("[simulate words 40] [simulate {fault}]");
            let reply = gateway.chat(&of(name, streamed(&text))).await;
            let text = reply.text();
            assert!(text.contains("\"error\""), "{name} {fault}: {text}");
            assert!(!text.contains("[DONE]"), "{name} {fault}: {text}");
            assert!(
                !text.contains("\"finish_reason\":\"stop\""),
                "{name} {fault}"
            );
        }
        for (fault, status) in [
            ("first-exception rate_limit_error", 429),
            ("first-exception api_error", 502),
            ("throttle", 429),
        ] {
            let text = format!("[simulate {fault}]");
            let reply = gateway.chat(&of(name, streamed(&text))).await;
            assert_eq!(reply.status, status, "{name} {fault}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn stream_is_decoded_however_it_is_cut() {
    let gateway = start().await;
    let events = [
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Häm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Grüße"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ];
    let text: String = events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap()
            )
        })
        .collect();
    for size in [1, 2, 3, 7, 64, 100_000] {
        let parts = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
        gateway
            .simulator
            .script(ScriptedReply::stream(parts.collect()));
        let mut request = of("runtime", streamed("Hi"));
        request["stream_options"] = json!({"include_usage": true});
        let reply = gateway.chat(&request).await;
        let outcome = super::outcome(&reply);
        assert_eq!(outcome[0]["content"], "Grüße", "{size}");
        assert_eq!(outcome[0]["reasoning_content"], "Häm", "{size}");
        assert_eq!(outcome[2]["prompt_tokens"], 10, "{size}");
        assert_eq!(outcome[2]["completion_tokens"], 20, "{size}");
    }
}
