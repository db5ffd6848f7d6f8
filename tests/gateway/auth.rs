//! Authentication, and the models that a key may use.

use axum::body::Body;
use http::{Method, Request, StatusCode};

use crate::support::{Gateway, KEY, Reply, user};

async fn with_headers(gateway: &Gateway, headers: &[(&str, &str)], model: &str) -> Reply {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}/v1/chat/completions", gateway.data));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut body = user("Hi");
    body["model"] = model.into();
    gateway
        .send(
            request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string()))
                .unwrap(),
        )
        .await
}

#[tokio::test]
async fn key_is_accepted_in_three_headers() {
    let gateway = Gateway::start().await;
    let bearer = format!("Bearer {KEY}");
    for header in [
        ("authorization", bearer.as_str()),
        ("x-api-key", KEY),
        ("api-key", KEY),
    ] {
        assert_eq!(
            with_headers(&gateway, &[header], "claude").await.status,
            StatusCode::OK,
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn reply_401_does_not_reveal_the_reason() {
    let gateway = Gateway::start().await;
    let mut bodies = Vec::new();
    for headers in [
        vec![],
        vec![("authorization", "Bearer sk-wrong")],
        vec![("authorization", "Basic c2stdGVzdA==")],
        vec![("authorization", "Bearer sk-test-old")],
        vec![("x-api-key", KEY), ("api-key", "sk-other")],
    ] {
        let reply = with_headers(&gateway, &headers, "claude").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(reply.error()["code"], "invalid_api_key");
        bodies.push(reply.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn key_may_use_only_the_models_that_its_globs_match() {
    let gateway = Gateway::start().await;
    let some = [("api-key", "sk-test-some")];
    for (model, expected) in [
        ("nova", StatusCode::OK),
        ("us.amazon.nova-pro-v1:0", StatusCode::OK),
        ("claude", StatusCode::FORBIDDEN),
        // A raw id that the key may not use is reported as unknown.
        ("us.meta.llama3-3-70b-instruct-v1:0", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(
            with_headers(&gateway, &some, model).await.status,
            expected,
            "{model}"
        );
    }
    // A key without globs may use every configured name and no raw id.
    let all = [("api-key", KEY)];
    assert_eq!(
        with_headers(&gateway, &all, "us.amazon.nova-pro-v1:0")
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    let request = Request::get(format!("http://{}/v1/models", gateway.data))
        .header("api-key", "sk-test-some");
    let list = gateway
        .send(request.body(Body::empty()).unwrap())
        .await
        .json();
    let models = list["data"].as_array().unwrap();
    let ids: Vec<&str> = models
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(
        ids,
        ["nova", "us.amazon.nova-2-lite-v1:0"],
        "the second is one of the account"
    );
}
