//! Time limits: those of the model, which a request may shorten, and the errors that name them.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{ANY_KEY, Gateway, Reply, money::of, streamed, user};

const SETTINGS: &str = r#"
    [models.steady]
    target = "amazon.nova-lite-v1:0"
    timeout = "40s"
    first_token_timeout = "50s"
"#;

/// Sends `body` with the header `x-lintel-timeout`.
async fn limited(gateway: &Gateway, path: &str, limit: &str, body: &Value) -> Reply {
    let request = Request::post(format!("http://{}{path}", gateway.data))
        .header("authorization", format!("Bearer {ANY_KEY}"))
        .header("content-type", "application/json")
        .header("x-lintel-timeout", limit);
    let body = Body::from(body.to_string());
    gateway.send(request.body(body).unwrap()).await
}

fn hanging(mut request: Value) -> Value {
    request["messages"][0]["content"] = "[simulate hang]".into();
    of("steady", request)
}

#[tokio::test]
async fn request_shortens_the_time_limits_of_its_model() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (request, code) in [
        (user(""), "upstream_timeout"),
        (streamed(""), "first_token_timeout"),
    ] {
        let mut by_member = hanging(request);
        let by_header = limited(&gateway, "/v1/chat/completions", "0.2", &by_member).await;
        by_member["timeout"] = json!(0.2);
        for reply in [by_header, gateway.chat(&by_member).await] {
            assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
            assert_eq!(reply.error()["code"], code);
            assert_eq!(
                reply.error()["message"],
                "Bedrock did not answer within 0.2 s (the request's own limit)."
            );
        }
    }
}

#[tokio::test]
async fn request_does_not_lengthen_the_time_limits_of_its_model() {
    let gateway = Gateway::start().await;
    let mut request = of("hasty", user("[simulate hang]"));
    request["timeout"] = 1000.into();
    let error = gateway.chat(&request).await.error();
    assert_eq!(
        error["message"],
        "Bedrock did not answer within 0.2 s (timeout)."
    );
    request["timeout"] = json!(null);
    let reply = gateway.chat(&of("claude", user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn stream_that_stalls_ends_after_the_limit_of_its_request() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("steady", streamed("[simulate stall]"));
    request["timeout"] = json!(2);
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let text = reply.text();
    assert!(text.contains("upstream_idle"), "{text}");
    assert!(text.contains("no data for 2 s"), "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn each_dialect_names_the_time_limit_in_its_own_form() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let text = "[simulate hang]";
    let message = json!([{"role": "user", "content": text}]);
    for (path, body, kind) in [
        (
            "/v1/responses",
            json!({"model": "steady", "input": text}),
            "/error/type",
        ),
        (
            "/v1/messages",
            json!({"model": "steady", "max_tokens": 10, "messages": message}),
            "/error/type",
        ),
        (
            "/v1/completions",
            json!({"model": "steady", "prompt": text}),
            "/error/type",
        ),
    ] {
        let reply = limited(&gateway, path, "0.2", &body).await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT, "{path}");
        let error = reply.json();
        let kind = error.pointer(kind).and_then(Value::as_str).unwrap();
        assert!(kind.contains("timeout"), "{path}: {error}");
        let text = error["error"]["message"].as_str().unwrap();
        assert!(
            text.contains("within 0.2 s (the request's own limit)"),
            "{path}: {text}"
        );
    }
    let body = json!({"messages": [{"role": "user", "content": [{"text": text}]}]});
    let reply = limited(&gateway, "/model/steady/converse", "0.2", &body).await;
    assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(
        reply.header("x-amzn-errortype"),
        Some("ModelTimeoutException")
    );
    assert!(
        reply.text().contains("the request's own limit"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn limit_that_is_no_positive_number_of_seconds_is_rejected() {
    let gateway = Gateway::start().await;
    for value in [json!(0), json!(-1), json!("5s"), json!(true), json!({})] {
        let mut request = user("Hi");
        request["timeout"] = value.clone();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{value}");
        assert_eq!(reply.error()["param"], "timeout", "{value}");
    }
    let reply = limited(&gateway, "/v1/chat/completions", "soon", &user("Hi")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["param"], "x-lintel-timeout");
    assert!(gateway.simulator.received().is_empty());
    // A member of the model's own body is none of the gateway's.
    let request = gateway
        .request(Method::POST, "/v1/chat/completions")
        .header("content-type", "application/json");
    let mut nested = user("Hi");
    nested["metadata"] = json!({"timeout": "5s"});
    let body = Body::from(nested.to_string());
    let reply = gateway.send(request.body(body).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}
