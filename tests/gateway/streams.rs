//! Streams that fail: a client can always tell an incomplete answer from a complete one.

use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::Value;

use crate::support::{Gateway, streamed};

/// A fault in a stream, and the code of the error event.
const BREAKS: [(&str, &str); 9] = [
    ("cut", "upstream_truncated"),
    ("reset", "upstream_truncated"),
    ("no-stop", "upstream_truncated"),
    ("truncate", "upstream_truncated"),
    ("bad-crc", "upstream_checksum"),
    ("bad-length", "upstream_malformed"),
    ("exception throttlingException", "rate_limit_exceeded"),
    ("exception modelStreamErrorException", "model_error"),
    ("exception somethingNewException", "upstream_error"),
];

#[tokio::test]
async fn a_stream_that_fails_ends_with_one_error_event_and_no_done() {
    let gateway = Gateway::start().await;
    for (fault, code) in BREAKS {
        let reply = gateway
            .chat(&streamed(&format!(
                "one two three four five six [simulate {fault}]"
            )))
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{fault}");
        let events = reply.events();
        let (last, before) = events.split_last().unwrap();
        let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{fault}: {last}"));
        assert_eq!(error["error"]["code"], code, "{fault}: {last}");
        assert_eq!(error["error"].as_object().unwrap().len(), 4);
        assert!(
            !before.is_empty(),
            "{fault}: a part of the answer arrives before the error"
        );
        for event in before {
            let chunk: Value = serde_json::from_str(event).unwrap();
            assert!(chunk.get("error").is_none());
            assert_eq!(
                chunk["choices"][0]["finish_reason"],
                Value::Null,
                "{fault}: no chunk has a finish_reason"
            );
        }
    }
}

/// Was complete, and empty, in every dialect.
#[tokio::test]
async fn stream_that_ends_without_an_answer_is_an_error() {
    for (reason, status) in [
        ("model_context_window_exceeded", StatusCode::BAD_REQUEST),
        ("malformed_tool_use", StatusCode::BAD_GATEWAY),
        ("malformed_model_output", StatusCode::BAD_GATEWAY),
    ] {
        let usage = r#"{"usage":{"inputTokens":50,"outputTokens":9,"totalTokens":59}}"#;
        let events = vec![
            encode_event("messageStart", r#"{"role":"assistant"}"#),
            encode_event("messageStop", &format!(r#"{{"stopReason":"{reason}"}}"#)),
            encode_event("metadata", usage),
        ];
        let gateway = Gateway::start().await;
        // A malformed answer is asked for again.
        (0..2).for_each(|_| {
            let reply = ScriptedReply::stream(events.clone());
            gateway.simulator.script(reply);
        });
        let reply = gateway.chat(&streamed("Hi")).await;
        assert_eq!(reply.status, status, "{reason}: {}", reply.text());
    }
}

#[tokio::test]
async fn row_45_stream_that_stalls_ends_at_the_idle_timeout_without_done() {
    let gateway = Gateway::start().await;
    let mut request = streamed("one two three [simulate stall]");
    request["model"] = "hasty".into();
    let reply = gateway.chat(&request).await;
    let error: Value = serde_json::from_str(reply.events().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "upstream_idle");
    assert!(!reply.text().contains("[DONE]"));
}

#[tokio::test]
async fn an_exception_before_the_first_token_sets_the_http_status() {
    let gateway = Gateway::start().await;
    for (exception, status) in [
        ("throttlingException", 429),
        ("validationException", 400),
        ("serviceUnavailableException", 503),
        ("internalServerException", 502),
        ("modelStreamErrorException", 502),
    ] {
        let reply = gateway
            .chat(&streamed(&format!(
                "[simulate first-exception {exception}]"
            )))
            .await;
        assert_eq!(reply.status.as_u16(), status, "{exception}");
        reply.error();
    }
}

#[tokio::test]
async fn garbage_after_a_complete_message_is_ignored() {
    let gateway = Gateway::start().await;
    let complete = [
        encode_event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"Hi"}}"#,
        ),
        encode_event("messageStop", r#"{"stopReason":"end_turn"}"#),
        encode_event(
            "metadata",
            r#"{"usage":{"inputTokens":1,"outputTokens":1}}"#,
        ),
    ];
    for garbage in ["garbage", "garbage that is longer than a prelude"] {
        let parts = complete
            .iter()
            .cloned()
            .chain([garbage.as_bytes().to_vec().into()]);
        gateway
            .simulator
            .script(ScriptedReply::stream(parts.collect()));
        let reply = gateway.chat(&streamed("Hi")).await;
        assert_eq!(
            *reply.events().last().unwrap(),
            "[DONE]",
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn the_idle_timeout_does_not_apply_before_the_first_token() {
    let gateway = Gateway::start().await;
    let mut request = streamed("one [simulate pace 300ms]");
    request["model"] = "patient".into();
    let reply = gateway.chat(&request).await;
    // messageStart arrives at once, the first token after 300 ms. The idle timeout is 200 ms.
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let error: Value = serde_json::from_str(reply.events().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "upstream_idle");
}

#[tokio::test]
async fn a_truncated_tool_call_is_not_completed() {
    let gateway = Gateway::start().await;
    let start = r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}"#;
    let stop = r#"{"stopReason":"max_tokens"}"#;
    gateway.simulator.script(ScriptedReply::stream(vec![
        encode_event("contentBlockStart", start),
        encode_event("messageStop", stop),
    ]));
    let reply = gateway.chat(&streamed("Hi")).await;
    assert!(!reply.text().contains("{}\"}"), "{}", reply.text());
    assert!(reply.text().contains(r#""finish_reason":"length""#));
}

/// A warning about the end of an answer reached only the log, because the headers had gone by then.
#[tokio::test]
async fn warnings_come_in_the_last_chunk_if_they_are_asked_for() {
    for (usage, asks) in [(false, false), (false, true), (true, true)] {
        let gateway = Gateway::start().await;
        let text = r#"{"contentBlockIndex":0,"delta":{"text":"Hi"}}"#;
        gateway.simulator.script(ScriptedReply::stream(vec![
            encode_event("contentBlockDelta", text),
            encode_event("messageStop", r#"{"stopReason":"malformed_tool_use"}"#),
        ]));
        let mut request = streamed("Hi");
        request["seed"] = 1.into();
        request["stream_options"] =
            serde_json::json!({"include_usage": usage, "include_warnings": asks});
        let reply = gateway.chat(&request).await;
        let events = reply.events();
        assert_eq!(*events.last().unwrap(), "[DONE]");
        let chunks: Vec<Value> = events[..events.len() - 1]
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect();
        let (last, before) = chunks.split_last().unwrap();
        assert!(
            before
                .iter()
                .all(|chunk| chunk.get("x_lintel_warnings").is_none())
        );
        let Some(warnings) = last["x_lintel_warnings"].as_array() else {
            assert!(!asks, "{last}");
            continue;
        };
        assert_eq!(last["choices"], serde_json::json!([]));
        assert_eq!(last["usage"].is_object(), usage, "{last}");
        for member in ["seed: ", "finish_reason: "] {
            let named = |warning: &Value| warning.as_str().unwrap().starts_with(member);
            assert!(warnings.iter().any(named), "{member} {last}");
        }
    }
}

#[tokio::test]
async fn usage_is_estimated_if_metadata_is_missing() {
    let gateway = Gateway::start().await;
    let mut request = streamed("one two three [simulate no-metadata]");
    request["stream_options"] = serde_json::json!({"include_usage": true});
    let reply = gateway.chat(&request).await;
    let events = reply.events();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(usage["usage"]["estimated"], true);
    assert!(usage["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    assert!(usage["usage"]["completion_tokens"].as_u64().unwrap() > 0);
}
