//! Errors, before a dialect parses, by the dialect, of Bedrock, and in a stream.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{events, message, send, types};
use crate::support::{
    Gateway, KEY, Reply,
    endpoints::{MESSAGES, MESSAGES_COUNT_TOKENS},
    money::{SETTINGS, budget, key, of},
};

/// Checks the form of an error, and returns its type and message.
fn error(reply: &Reply) -> (String, String) {
    let body = reply.json();
    let members: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["type", "error", "request_id"], "{body}");
    assert_eq!(body["type"], "error");
    let members: Vec<_> = body["error"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["type", "message"]);
    assert_eq!(body["request_id"], reply.header("request-id").unwrap());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let text = |member: &str| body["error"][member].as_str().unwrap().to_owned();
    (text("type"), text("message"))
}

async fn bare(gateway: &Gateway, method: Method, path: &str, secret: Option<&str>) -> Reply {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", gateway.data))
        .header("content-type", "application/json");
    if let Some(secret) = secret {
        request = request.header("x-api-key", secret);
    }
    gateway.send(request.body(Body::from("{")).unwrap()).await
}

#[tokio::test]
async fn errors_before_the_body_is_parsed_have_the_form_of_the_path() {
    let gateway = Gateway::start().await;
    for path in [MESSAGES, "/messages", MESSAGES_COUNT_TOKENS] {
        for secret in [None, Some("sk-wrong")] {
            let reply = bare(&gateway, Method::POST, path, secret).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
            assert_eq!(error(&reply).0, "authentication_error");
            assert_eq!(reply.header("x-should-retry"), Some("false"));
        }
        let reply = bare(&gateway, Method::POST, path, Some(KEY)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(error(&reply).0, "invalid_request_error");
        let reply = bare(&gateway, Method::PUT, path, Some(KEY)).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        error(&reply);
    }
    let reply = bare(&gateway, Method::POST, "/v1/messages/batches", Some(KEY)).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(error(&reply).0, "not_found_error");
}

#[tokio::test]
async fn body_that_is_too_large_is_request_too_large() {
    let gateway = Gateway::start_with("max_body = \"1KiB\"").await;
    let reply = send(&gateway, &message(&"x".repeat(2000))).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(error(&reply).0, "request_too_large");
}

#[tokio::test]
async fn invalid_members_are_named() {
    let gateway = Gateway::start().await;
    let with = |member: &str, value: Value| {
        let mut request = message("Hi");
        request[member] = value;
        request
    };
    for (request, named) in [
        (
            json!({"model": "claude", "messages": [{"role": "user", "content": "Hi"}]}),
            "max_tokens",
        ),
        (with("messages", json!([])), "messages"),
        (
            with("messages", json!([{"role": "tool", "content": "Hi"}])),
            "messages[0].role",
        ),
        (
            with("thinking", json!({"type": "enabled", "budget_tokens": 600})),
            "thinking.budget_tokens",
        ),
        (
            with("thinking", json!({"type": "sometimes"})),
            "thinking.type",
        ),
        (
            with("output_config", json!({"effort": "huge"})),
            "output_config.effort",
        ),
        (
            with("tools", json!([{"name": "f"}])),
            "tools[0].input_schema",
        ),
        (
            with(
                "tools",
                json!([{"type": "code_execution_20250825", "name": "code_execution"}]),
            ),
            "tools[0].type",
        ),
        (
            with("tool_choice", json!({"type": "tool"})),
            "tool_choice.name",
        ),
        (
            with("mcp_servers", json!([{"url": "https://example.com"}])),
            "mcp_servers",
        ),
        (with("safeguards", json!({})), "safeguards"),
        (with("temperature", json!(1.5)), "temperature"),
        (with("system", json!([{"type": "image"}])), "system"),
        (
            with(
                "messages",
                json!([{"role": "user", "content": [{"type": "text"}]}]),
            ),
            "messages[0].content[0].text",
        ),
        (
            with(
                "messages",
                json!([{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]),
            ),
            "messages[0].content[0].source.type",
        ),
    ] {
        let reply = send(&gateway, &request).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{named}: {}",
            reply.text()
        );
        let (kind, text) = error(&reply);
        assert_eq!(kind, "invalid_request_error");
        assert!(text.contains(named), "{named}: {text}");
    }
    assert!(gateway.simulator.received().is_empty(), "nothing is sent");
}

#[tokio::test]
async fn failures_of_bedrock_have_the_types_and_statuses_of_the_api() {
    let gateway = Gateway::start().await;
    for (fault, status, kind) in [
        ("throttle", 429, "rate_limit_error"),
        ("quota", 429, "rate_limit_error"),
        ("unavailable", 503, "api_error"),
        ("internal", 502, "api_error"),
        ("access-denied", 502, "api_error"),
        ("not-found", 404, "not_found_error"),
        ("validation", 400, "invalid_request_error"),
        ("too-long", 400, "invalid_request_error"),
        ("model-timeout", 504, "timeout_error"),
    ] {
        for stream in [false, true] {
            let mut request = message(&format!("[simulate {fault}]"));
            request["stream"] = stream.into();
            let reply = send(&gateway, &request).await;
            assert_eq!(reply.status, status, "{fault}: {}", reply.text());
            let (found, text) = error(&reply);
            assert_eq!(found, kind, "{fault}");
            // Claude Code recognizes the sentence, and compacts the conversation.
            assert!(
                fault != "too-long" || text == "Input is too long for requested model.",
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_and_forbidden_models_are_rejected() {
    let gateway = Gateway::start().await;
    let reply = send(&gateway, &of("unknown", message("Hi"))).await;
    assert_eq!(
        (reply.status, error(&reply).0.as_str()),
        (StatusCode::NOT_FOUND, "not_found_error")
    );
    let reply = gateway.ask(MESSAGES, "sk-test-some", &message("Hi")).await;
    assert_eq!(
        (reply.status, error(&reply).0.as_str()),
        (StatusCode::FORBIDDEN, "permission_error")
    );
}

#[tokio::test]
async fn spent_budget_is_a_billing_error_that_clients_do_not_retry() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, secret) = key(&gateway, budget(0.000_001)).await;
    let reply = gateway
        .ask(MESSAGES, &secret, &of("priced", message("Hi")))
        .await;
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.text()
    );
    let (kind, text) = error(&reply);
    assert_eq!(kind, "billing_error");
    assert!(text.contains("The budget resets at"), "{text}");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(
        reply.header("anthropic-ratelimit-unified-status"),
        Some("rejected")
    );
    let reset = reply.header("anthropic-ratelimit-unified-reset").unwrap();
    assert!(reset.parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn rate_limits_are_reported_in_headers() {
    let gateway = Gateway::start().await;
    let settings = json!({"limits": {"requests_per_minute": 1, "burst": 1}});
    let (_, secret) = key(&gateway, settings).await;
    let request = of("nova", message("Hi"));
    let first = gateway.ask(MESSAGES, &secret, &request).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!(
        first.header("anthropic-ratelimit-requests-remaining"),
        Some("0")
    );
    let reset = first.header("anthropic-ratelimit-requests-reset").unwrap();
    assert!(reset.ends_with('Z'), "{reset}");
    let second = gateway.ask(MESSAGES, &secret, &request).await;
    assert_eq!(second.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(error(&second).0, "rate_limit_error");
    assert!(second.header("retry-after").is_some());
}

#[tokio::test]
async fn broken_stream_ends_with_an_error_event_and_never_looks_complete() {
    let gateway = Gateway::start().await;
    for fault in [
        "cut",
        "no-stop",
        "truncate",
        "bad-crc",
        "exception throttlingException",
    ] {
        let mut request = message(&format!("a b c d e f g h [simulate {fault}]"));
        request["stream"] = true.into();
        let reply = send(&gateway, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{fault}: {}", reply.text());
        let events = events(&reply);
        let types = types(&events);
        assert_eq!(types.first(), Some(&"message_start"), "{fault}");
        assert_eq!(types.last(), Some(&"error"), "{fault}: {types:?}");
        for end in ["message_delta", "message_stop"] {
            assert!(!types.contains(&end), "{fault}: {types:?}");
        }
        let last = events.last().unwrap();
        assert_eq!(last["request_id"], reply.header("request-id").unwrap());
        assert!(last["error"]["message"].is_string());
    }
}

/// With `commit_after`, status 200 is sent before the error is known.
#[tokio::test]
async fn error_after_an_early_answer_is_an_event() {
    let gateway = Gateway::start_with("commit_after = \"50ms\"").await;
    let mut request = of("hasty", message("[simulate hang]"));
    request["stream"] = true.into();
    let reply = send(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let text = reply.text();
    let (comment, event) = text.split_once("\n\n").unwrap();
    assert_eq!(comment, ": waiting");
    assert!(
        event.starts_with("event: error\ndata: {\"type\":\"error\""),
        "{text}"
    );
}

#[tokio::test]
async fn paths_of_other_dialects_keep_their_form() {
    let gateway = Gateway::start().await;
    let request = gateway
        .request(Method::POST, "/v1/chat/completions")
        .header("anthropic-version", "2023-06-01");
    let reply = gateway.send(request.body(Body::from("{")).unwrap()).await;
    assert_eq!(reply.error()["code"], "invalid_json");
    assert!(reply.header("request-id").is_none());
}
