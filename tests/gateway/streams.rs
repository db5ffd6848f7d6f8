//! Streams never lie.

use http::StatusCode;
use serde_json::Value;

use crate::support::{Gateway, streamed};

/// How a stream breaks, and the code of the error event.
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
async fn a_stream_that_breaks_has_one_error_event_and_no_done() {
    let gateway = Gateway::start().await;
    for (fault, code) in BREAKS {
        let reply = gateway.chat(&streamed(&format!("one two three four five six [simulate {fault}]"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{fault}");
        let events = reply.events();
        let (last, before) = events.split_last().unwrap();
        let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{fault}: {last}"));
        assert_eq!(error["error"]["code"], code, "{fault}: {last}");
        assert_eq!(error["error"].as_object().unwrap().len(), 4);
        assert!(!before.is_empty(), "{fault}: some of the answer came before");
        for event in before {
            let chunk: Value = serde_json::from_str(event).unwrap();
            assert!(chunk.get("error").is_none());
            assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null, "{fault}: nothing claims to be the end");
        }
    }
}

#[tokio::test]
async fn a_stream_that_stalls_ends_at_the_idle_timeout() {
    let gateway = Gateway::start().await;
    let mut request = streamed("one two three [simulate stall]");
    request["model"] = "hasty".into();
    let reply = gateway.chat(&request).await;
    let error: Value = serde_json::from_str(reply.events().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "upstream_idle");
    assert!(!reply.text().contains("[DONE]"));
}

#[tokio::test]
async fn an_exception_before_the_first_token_is_a_status() {
    let gateway = Gateway::start().await;
    for (exception, status) in [
        ("throttlingException", 429),
        ("validationException", 400),
        ("serviceUnavailableException", 503),
        ("internalServerException", 502),
        ("modelStreamErrorException", 502),
    ] {
        let reply = gateway.chat(&streamed(&format!("[simulate first-exception {exception}]"))).await;
        assert_eq!(reply.status.as_u16(), status, "{exception}");
        reply.error();
    }
}

#[tokio::test]
async fn missing_metadata_is_estimated() {
    let gateway = Gateway::start().await;
    let mut request = streamed("one two three [simulate no-metadata]");
    request["stream_options"] = serde_json::json!({"include_usage": true});
    let reply = gateway.chat(&request).await;
    let events = reply.events();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert!(usage["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    assert!(usage["usage"]["completion_tokens"].as_u64().unwrap() > 0);
}
