//! Rate limits: admission, rejection and the headers that report them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, Reply, streamed, user};

const SETTINGS: &str = r#"
    [models.few]
    target = "amazon.nova-lite-v1:0"
    limits = { requests_per_minute = 60, burst = 3 }
    [models.thin]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 100
    limits = { tokens_per_minute = 400 }
    [models.narrow]
    target = "amazon.nova-lite-v1:0"
    idle_timeout = "100ms"
    limits = { in_flight = 1 }
    [models.short]
    target = "amazon.nova-lite-v1:0"
    limits = { max_request_tokens = 50 }
"#;

fn of(model: &str, mut request: Value) -> Value {
    request["model"] = model.into();
    request
}

fn assert_rejected(reply: &Reply) {
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.text()
    );
    let error = reply.error();
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("rate_limit_error"), &json!("rate_limit_exceeded"))
    );
    assert!(reply.header("retry-after").is_some() && reply.header("retry-after-ms").is_some());
    assert_eq!(reply.header("x-should-retry"), None, "the SDKs may retry");
}

#[tokio::test]
async fn requests_per_minute_allow_a_burst_and_are_reported_in_headers() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for left in ["2", "1", "0"] {
        let reply = gateway.chat(&of("few", user("Hi"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("60"));
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some(left));
        assert!(
            reply
                .header("x-ratelimit-reset-requests")
                .unwrap()
                .ends_with('s')
        );
    }
    let reply = gateway.chat(&of("few", user("Hi"))).await;
    assert_rejected(&reply);
    assert!(
        reply.error()["message"]
            .as_str()
            .unwrap()
            .contains("'model:few' allows 60 requests per minute")
    );
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("0"));
    let wait: u64 = reply.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=1000).contains(&wait), "one request per second: {wait}");
    assert_eq!(
        gateway.simulator.received().len(),
        3,
        "rejected requests are not sent"
    );
    assert_eq!(
        gateway
            .chat(&user("Hi"))
            .await
            .header("x-ratelimit-limit-requests"),
        None,
        "another model has no limit"
    );
}

#[tokio::test]
async fn tokens_per_minute_are_corrected_to_the_actual_usage() {
    let gateway = Gateway::start_with(SETTINGS).await;
    // Each request is estimated at over 100 tokens and uses 5.
    for _ in 0..20 {
        let reply = gateway.chat(&of("thin", user("Hi"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), Some("400"));
    }
    // A first request that exceeds the bucket is admitted, and later requests wait until its debt is repaid.
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut large = of("thin", user("[simulate words 600]"));
    large["max_tokens"] = 700.into();
    assert_eq!(gateway.chat(&large).await.status, StatusCode::OK);
    let reply = gateway.chat(&of("thin", user("Hi"))).await;
    assert_rejected(&reply);
    assert_eq!(reply.header("x-ratelimit-remaining-tokens"), Some("0"));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    let millis: u64 = reply.header("retry-after-ms").unwrap().parse().unwrap();
    // Rounded down, a client that obeyed it was rejected again.
    assert_eq!(wait, millis.div_ceil(1000));
    assert!(
        (30..=60).contains(&wait),
        "200 tokens of debt and 100 for this request, at 400 per minute: {wait}"
    );
}

#[tokio::test]
async fn an_in_flight_permit_is_held_until_the_last_byte() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let open = gateway
        .open(&of("narrow", streamed("[simulate stall]")))
        .await;
    assert_rejected(&gateway.chat(&of("narrow", user("Hi"))).await);
    drop(open);
    gateway
        .until(async || gateway.chat(&of("narrow", user("Hi"))).await.status == StatusCode::OK)
        .await;
}

#[tokio::test]
async fn a_request_over_max_request_tokens_is_rejected_for_good() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway.chat(&of("short", user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        reply.header("x-should-retry"),
        Some("false"),
        "a retry cannot succeed"
    );
    let mut small = of("short", user("Hi"));
    small["max_tokens"] = 10.into();
    assert_eq!(gateway.chat(&small).await.status, StatusCode::OK);
}

#[tokio::test]
async fn failed_logins_are_limited_by_address() {
    let gateway = Gateway::start_with("failed_logins_per_minute = 3").await;
    let attempt = async || {
        let request = http::Request::get(format!("http://{}/v1/models", gateway.data))
            .header("authorization", "Bearer sk-wrong");
        gateway
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await
    };
    for _ in 0..3 {
        assert_eq!(attempt().await.status, StatusCode::UNAUTHORIZED);
    }
    assert_rejected(&attempt().await);
    // 140 attempts were refused, then the right key was accepted, so guessing could go on.
    let late = gateway.get("/v1/models").await;
    assert_rejected(&late);
    assert!(late.header("retry-after").is_some());
}

#[tokio::test]
async fn client_that_was_known_before_is_not_locked_out_by_failed_logins_of_others() {
    let gateway = Gateway::start_with("failed_logins_per_minute = 3").await;
    assert_eq!(gateway.get("/v1/models").await.status, StatusCode::OK);
    for _ in 0..5 {
        gateway.as_key("sk-wrong", &user("Hi")).await;
    }
    assert_rejected(&gateway.as_key("sk-wrong", &user("Hi")).await);
    assert_eq!(gateway.get("/v1/models").await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_per_second_of_a_credential_are_limited() {
    let gateway = Gateway::start_with("max_requests_per_second = 1").await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(gateway.get("/v1/models").await.status);
    }
    assert_eq!(statuses[0], StatusCode::OK);
    assert!(
        statuses.contains(&StatusCode::TOO_MANY_REQUESTS),
        "{statuses:?}"
    );
    assert_eq!(
        gateway.get("/models").await.error()["code"],
        "rate_limit_exceeded"
    );
}
