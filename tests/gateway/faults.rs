//! Failures of Bedrock, and the errors that clients receive.

use http::StatusCode;
use serde_json::json;

use crate::support::{Gateway, streamed, user};

/// A fault, and the status, `type`, `code`, `retry-after` and `x-should-retry` of the error.
type Fault = (
    &'static str,
    u16,
    &'static str,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
);

const FAULTS: [Fault; 13] = [
    (
        "throttle",
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        Some("1"),
        None,
    ),
    (
        "quota",
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        Some("3600"),
        Some("false"),
    ),
    (
        "unavailable",
        503,
        "api_error",
        "upstream_unavailable",
        Some("1"),
        None,
    ),
    ("internal", 502, "api_error", "upstream_error", None, None),
    (
        "access-denied",
        502,
        "api_error",
        "upstream_access_denied",
        None,
        Some("false"),
    ),
    (
        "not-found",
        404,
        "invalid_request_error",
        "model_not_found",
        None,
        None,
    ),
    (
        "end-of-life",
        502,
        "api_error",
        "model_end_of_life",
        None,
        Some("false"),
    ),
    (
        "not-ready",
        503,
        "api_error",
        "model_not_ready",
        Some("10"),
        None,
    ),
    ("model-timeout", 504, "timeout", "model_timeout", None, None),
    ("model-error", 502, "api_error", "model_error", None, None),
    (
        "too-long",
        400,
        "invalid_request_error",
        "context_length_exceeded",
        None,
        None,
    ),
    (
        "validation",
        400,
        "invalid_request_error",
        "invalid_request",
        None,
        None,
    ),
    (
        "conflict",
        409,
        "api_error",
        "conflict",
        None,
        Some("false"),
    ),
];

#[tokio::test]
async fn failures_of_bedrock_are_mapped_for_whole_and_streamed_requests() {
    let gateway = Gateway::start().await;
    for (fault, status, kind, code, retry_after, should_retry) in FAULTS {
        for request in [
            user(&format!("[simulate {fault}]")),
            streamed(&format!("[simulate {fault}]")),
        ] {
            let reply = gateway.chat(&request).await;
            let error = reply.error();
            let seen = (
                reply.status.as_u16(),
                error["type"].as_str().unwrap(),
                error["code"].as_str().unwrap(),
            );
            assert_eq!(seen, (status, kind, code), "{fault}");
            assert_eq!(reply.header("retry-after"), retry_after, "{fault}");
            assert_eq!(reply.header("x-should-retry"), should_retry, "{fault}");
            let message = error["message"].as_str().unwrap();
            assert!(
                !message.contains("arn:") && !message.contains("123456789012"),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn an_invalid_model_identifier_at_bedrock_is_a_404() {
    let gateway = Gateway::start().await;
    let body = r#"{"message":"The provided model identifier is invalid."}"#;
    let mut scripted = lintel::simulator::ScriptedReply::json(400, body);
    scripted
        .headers
        .push(("x-amzn-errortype".into(), "ValidationException".into()));
    // The next route of the model is tried once.
    gateway.simulator.script(scripted.clone());
    gateway.simulator.script(scripted);
    let reply = gateway.chat(&user("Hi")).await;
    assert_eq!(
        (reply.status, reply.error()["code"].clone()),
        (StatusCode::NOT_FOUND, json!("model_not_found"))
    );
}

#[tokio::test]
async fn error_codes_in_the_body_and_malformed_bodies_are_handled() {
    let gateway = Gateway::start().await;
    for body in [
        r#"{"__type":"com.amazon.bedrock#ThrottlingException","Message":"slow down"}"#,
        r#"{"code":"ThrottlingException","message":"slow down"}"#,
    ] {
        gateway
            .simulator
            .script(lintel::simulator::ScriptedReply::json(429, body));
        let reply = gateway.chat(&user("Hi")).await;
        assert_eq!(reply.error()["code"], "rate_limit_exceeded", "{body}");
    }
    // The page of a proxy between the gateway and Bedrock.
    gateway
        .simulator
        .script(lintel::simulator::ScriptedReply::json(
            503,
            "<html>no</html>",
        ));
    assert_eq!(
        gateway.chat(&user("Hi")).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    gateway
        .simulator
        .script(lintel::simulator::ScriptedReply::json(
            200,
            "<html>no</html>",
        ));
    let reply = gateway.chat(&user("Hi")).await;
    assert_eq!(
        (reply.status, reply.error()["code"].clone()),
        (StatusCode::BAD_GATEWAY, json!("upstream_malformed"))
    );
}

#[tokio::test]
async fn timeouts_of_the_model_apply() {
    let gateway = Gateway::start().await;
    for (mut request, code) in [
        (user("[simulate hang]"), "upstream_timeout"),
        (streamed("[simulate hang]"), "first_token_timeout"),
    ] {
        request["model"] = "hasty".into();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(reply.error()["code"], code);
    }
}

#[tokio::test]
async fn a_truncated_whole_reply_is_an_error() {
    let gateway = Gateway::start().await;
    for fault in ["reset", "cut"] {
        let reply = gateway.chat(&user(&format!("[simulate {fault}]"))).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_GATEWAY,
            "{fault}: {}",
            reply.text()
        );
        assert_eq!(reply.error()["code"], "upstream_truncated");
    }
}
