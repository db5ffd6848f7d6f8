//! Bad input and failures of Bedrock: each its own clear answer.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;

use crate::support::{Gateway, streamed, user};

/// Body, status, code, param.
const BAD_BODIES: [(&str, u16, &str, Option<&str>); 45] = [
    ("", 400, "invalid_json", None),
    ("{", 400, "invalid_json", None),
    (
        r#"{"model":"claude","messages":[],}"#,
        400,
        "invalid_json",
        None,
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}]} extra"#,
        400,
        "invalid_json",
        None,
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"\ud800"}]}"#,
        400,
        "invalid_json",
        None,
    ),
    (
        r#"{"model":"claude","temperature":NaN,"messages":[{"role":"user","content":"x"}]}"#,
        400,
        "invalid_json",
        None,
    ),
    ("[]", 400, "invalid_type", Some("body")),
    (
        r#"{"messages":[{"role":"user","content":"x"}]}"#,
        400,
        "missing_required_parameter",
        Some("model"),
    ),
    (
        r#"{"model":"claude"}"#,
        400,
        "missing_required_parameter",
        Some("messages"),
    ),
    (
        r#"{"model":"claude","messages":[]}"#,
        400,
        "invalid_value",
        Some("messages"),
    ),
    (
        r#"{"model":"claude","messages":"x"}"#,
        400,
        "invalid_type",
        Some("messages"),
    ),
    (
        r#"{"model":"claude","messages":[{"content":"x"}]}"#,
        400,
        "missing_required_parameter",
        Some("messages[0].role"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"usr","content":"x"}]}"#,
        400,
        "invalid_type",
        Some("messages[0].role"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":null}]}"#,
        400,
        "invalid_value",
        Some("messages[0].content"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":7}]}"#,
        400,
        "invalid_type",
        Some("messages[0].content"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:"}}]}]}"#,
        400,
        "invalid_value",
        Some("messages[0].content[0].image_url.url"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
        400,
        "invalid_value",
        Some("messages[0].content[0].text"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"tool","content":"x"}]}"#,
        400,
        "invalid_value",
        Some("messages[0].tool_call_id"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":1,"max_tokens":2}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":0}"#,
        400,
        "invalid_value",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":-1}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":1.5}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":"9"}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"max_tokens":9223372036854775808}"#,
        400,
        "invalid_type",
        Some("max_tokens"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"temperature":1e308}"#,
        400,
        "invalid_value",
        Some("temperature"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"temperature":-0.1}"#,
        400,
        "invalid_value",
        Some("temperature"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"top_p":1.1}"#,
        400,
        "invalid_value",
        Some("top_p"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"n":0}"#,
        400,
        "invalid_value",
        Some("n"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"n":17}"#,
        400,
        "invalid_value",
        Some("n"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"logprobs":true}"#,
        400,
        "unsupported_parameter",
        Some("logprobs"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"stop":["1","2","3","4","5"]}"#,
        400,
        "invalid_value",
        Some("stop"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"kb":"medical"}"#,
        404,
        "knowledge_base_not_found",
        Some("kb.name"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":""}}]}"#,
        400,
        "invalid_value",
        Some("tools[0].function.name"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"tool_choice":"required"}"#,
        400,
        "invalid_value",
        Some("tool_choice"),
    ),
    (
        r#"["claude",[{"role":"user","content":"x"}]]"#,
        400,
        "invalid_type",
        Some("body"),
    ),
    (
        r#"{"model":"claude","messages":[["user","x"]]}"#,
        400,
        "invalid_type",
        Some("messages[0]"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":[["text","x"]]}]}"#,
        400,
        "invalid_type",
        Some("messages[0].content[0]"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":"string"}}]}"#,
        400,
        "invalid_value",
        Some("tools[0].function.parameters"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"","arguments":""}}]}]}"#,
        400,
        "invalid_value",
        Some("messages[0].tool_calls[0].function.name"),
    ),
    (
        r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"us.amazon.nova-pro-v1:0","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"claude","messages":[{"role":"user","content":"x"}],"service_tier":"best"}"#,
        400,
        "invalid_value",
        Some("service_tier"),
    ),
    (
        r#"{"model":"nope","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"../../secret","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
    (
        r#"{"model":"a.b%2e%2e\n","messages":[{"role":"user","content":"x"}]}"#,
        404,
        "model_not_found",
        Some("model"),
    ),
];

#[tokio::test]
async fn bad_bodies_are_refused_by_the_field() {
    let gateway = Gateway::start().await;
    for (body, status, code, param) in BAD_BODIES {
        let reply = gateway.post(body).await;
        let error = reply.error();
        assert_eq!(
            (reply.status.as_u16(), error["code"].as_str()),
            (status, Some(code)),
            "{body}: {error}"
        );
        assert_eq!(error["param"].as_str(), param, "{body}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert!(
        gateway.simulator.received().is_empty(),
        "nothing is sent upstream"
    );
}

#[tokio::test]
async fn json_that_is_nested_too_deeply_is_refused() {
    let gateway = Gateway::start().await;
    let deep = |depth: usize| {
        format!(
            "{}{}",
            r#"{"a":"#.repeat(depth),
            "0".to_owned() + &"}".repeat(depth)
        )
    };
    let schema = format!(
        r#"{{"model":"claude","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]}}"#,
        deep(10_000)
    );
    let error = gateway.post(schema).await.error();
    assert_eq!(error["param"], "tools[0].function.parameters");
    let content = format!(r#"{{"model":"claude","messages":{}}}"#, "[".repeat(10_000));
    assert_eq!(gateway.post(content).await.status, StatusCode::BAD_REQUEST);
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn counts_of_tools_and_calls_are_bounded() {
    let gateway = Gateway::start().await;
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}});
    let mut request = user("Hi");
    request["tools"] = vec![tool; 129].into();
    assert_eq!(gateway.chat(&request).await.error()["param"], "tools");
    let mut request = user("Hi");
    request["messages"] = json!([{"role": "assistant", "tool_calls": vec![call; 129]}]);
    assert_eq!(
        gateway.chat(&request).await.error()["param"],
        "messages[0].tool_calls"
    );
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": deep}});
    request["messages"] = json!([{"role": "assistant", "tool_calls": [call]}]);
    assert_eq!(
        gateway.chat(&request).await.error()["param"],
        "messages[0].tool_calls[0].function.arguments"
    );
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn warnings_are_bounded() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    request["messages"] = vec![json!({"role": "user", "content": "x", "name": "z"}); 2000].into();
    let reply = gateway.chat(&request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.ends_with("and more") && warnings.len() <= 2048,
        "{}",
        warnings.len()
    );
}

#[tokio::test]
async fn a_byte_order_mark_and_odd_characters_are_tolerated() {
    let gateway = Gateway::start().await;
    let text = "nul \u{0} bidi \u{202e} bell \u{7}";
    let reply = gateway.post(format!("\u{feff}{}", user(text))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        reply.json()["choices"][0]["message"]["content"],
        format!("You said: {text}")
    );
}

#[tokio::test]
async fn paths_methods_and_types_have_their_own_answers() {
    let gateway = Gateway::start().await;
    let send =
        async |method: Method, path: &str, content_type: Option<&str>, encoding: Option<&str>| {
            let mut request = gateway.request(method, path);
            for (name, value) in [
                ("content-type", content_type),
                ("content-encoding", encoding),
            ] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let reply = gateway
                .send(request.body(Body::from(user("Hi").to_string())).unwrap())
                .await;
            if reply.status.is_success() {
                return (reply.status.as_u16(), String::new());
            }
            (
                reply.status.as_u16(),
                reply.error()["code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )
        };
    let chat = "/v1/chat/completions";
    let json = Some("application/json");
    assert_eq!(
        send(
            Method::POST,
            chat,
            Some("application/json; charset=utf-8"),
            None
        )
        .await
        .0,
        200
    );
    assert_eq!(
        send(Method::POST, "/chat/completions", json, None).await.0,
        200
    );
    assert_eq!(
        send(Method::POST, chat, None, None).await.0,
        200,
        "without a type, JSON is taken for what it is"
    );
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        assert_eq!(
            send(Method::POST, chat, Some(content_type), None).await,
            (415, "unsupported_media_type".into())
        );
    }
    assert_eq!(
        send(Method::POST, chat, json, Some("gzip")).await,
        (415, "unsupported_content_encoding".into())
    );
    assert_eq!(
        send(Method::GET, chat, None, None).await,
        (405, "method_not_allowed".into())
    );
    assert_eq!(
        send(Method::OPTIONS, chat, None, None).await,
        (405, "method_not_allowed".into())
    );
    assert_eq!(
        send(Method::TRACE, chat, None, None).await,
        (405, "method_not_allowed".into())
    );
    for path in [
        "/",
        "/v1",
        "/v2/chat/completions",
        "/v1/responses",
        "/v1/chat/completions/abc",
        "/metrics",
        "/admin/keys",
    ] {
        assert_eq!(
            send(Method::GET, path, None, None).await,
            (404, "unknown_url".into()),
            "{path}"
        );
    }
}

/// Fault, status, type, code, `retry-after`, `x-should-retry`.
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
async fn failures_of_bedrock_have_their_status_whole_and_streamed() {
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
async fn an_unknown_model_at_bedrock_is_openais_404() {
    let gateway = Gateway::start().await;
    let body = r#"{"message":"The provided model identifier is invalid."}"#;
    let mut scripted = lintel::simulator::ScriptedReply::json(400, body);
    scripted
        .headers
        .push(("x-amzn-errortype".into(), "ValidationException".into()));
    gateway.simulator.script(scripted);
    let reply = gateway.chat(&user("Hi")).await;
    assert_eq!(
        (reply.status, reply.error()["code"].clone()),
        (StatusCode::NOT_FOUND, json!("model_not_found"))
    );
}

#[tokio::test]
async fn the_name_of_an_error_may_stand_in_the_body() {
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
    // A proxy's page instead of an answer.
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
async fn time_limits_are_those_of_the_model() {
    let gateway = Gateway::start().await;
    for mut request in [user("[simulate hang]"), streamed("[simulate hang]")] {
        request["model"] = "hasty".into();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(reply.error()["code"], "upstream_timeout");
    }
}

#[tokio::test]
async fn a_whole_reply_that_breaks_off_is_an_error() {
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
