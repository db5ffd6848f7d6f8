//! Rate limits and a client's own limit.

use http::StatusCode;
use serde_json::json;

use super::{SETTINGS, request};
use crate::support::Gateway;

const LIMITED: &str = r#"
    [models.few]
    target = "amazon.titan-embed-text-v2:0"
    limits = { requests_per_minute = 60, burst = 2 }
    [models.thin]
    target = "amazon.titan-embed-text-v2:0"
    limits = { tokens_per_minute = 100 }
    [models.short]
    target = "amazon.titan-embed-text-v2:0"
    limits = { max_request_tokens = 10 }
    [models.narrow]
    target = "amazon.titan-embed-text-v2:0"
    limits = { in_flight = 1 }
"#;

#[tokio::test]
async fn a_request_counts_once_however_many_parts_it_has() {
    let gateway = Gateway::start_with(LIMITED).await;
    for left in ["1", "0"] {
        let reply = gateway
            .embed(&request("few", json!(["a", "b", "c", "d"])))
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("60"));
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some(left));
    }
    let reply = gateway.embed(&request("few", "a")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.error()["code"], "rate_limit_exceeded");
    assert!(reply.header("retry-after-ms").is_some());
    assert_eq!(gateway.simulator.received().len(), 8);
}

#[tokio::test]
async fn tokens_per_minute_are_corrected_to_the_actual_usage() {
    let gateway = Gateway::start_with(LIMITED).await;
    // Each is estimated at 20 tokens, and is one.
    for _ in 0..20 {
        let reply = gateway.embed(&request("thin", "x".repeat(80))).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), Some("100"));
    }
    // A first request may exceed the bucket. Later requests wait until its debt is repaid.
    let gateway = Gateway::start_with(LIMITED).await;
    let large = gateway.embed(&request("thin", "a ".repeat(300))).await;
    assert_eq!(large.status, StatusCode::OK, "{}", large.text());
    let reply = gateway.embed(&request("thin", "a")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("x-ratelimit-remaining-tokens"), Some("0"));
}

#[tokio::test]
async fn a_request_over_max_request_tokens_is_told_to_send_less_input() {
    let gateway = Gateway::start_with(LIMITED).await;
    let reply = gateway
        .embed(&request("short", json!(vec!["x".repeat(10); 5])))
        .await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    let error = reply.error();
    assert_eq!(error["param"], "input");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("Send fewer or shorter inputs") && !message.contains("max_tokens"),
        "{message}"
    );
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert!(gateway.simulator.received().is_empty());
    let reply = gateway.embed(&request("short", "x".repeat(10))).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn an_in_flight_permit_is_held_until_the_reply_and_then_returned() {
    let gateway = Gateway::start_with(LIMITED).await;
    let slow = request("narrow", "[simulate slow 200ms]");
    let other = async {
        gateway
            .until(async || !gateway.simulator.received().is_empty())
            .await;
        gateway.embed(&request("narrow", "text")).await
    };
    let (first, second) = futures_util::future::join(gateway.embed(&slow), other).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(second.status, StatusCode::TOO_MANY_REQUESTS);
    // Also after a failure.
    for text in ["[simulate validation]", "text"] {
        gateway.embed(&request("narrow", text)).await;
    }
    let reply = gateway.embed(&request("narrow", "text")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn max_cost_usd_limits_a_request() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("dear", "x".repeat(98));
    for (limit, status) in [
        (json!(0.000_200_000), 400),
        // This is written with an exponent.
        (json!(0.000_05), 400),
        (json!(0.000_200_001), 200),
        (json!(1), 200),
    ] {
        request["max_cost_usd"] = limit.clone();
        let reply = gateway.embed(&request).await;
        assert_eq!(reply.status.as_u16(), status, "{limit}: {}", reply.text());
        if status == 400 {
            let error = reply.error();
            assert_eq!(error["param"], "max_cost_usd");
            let message = error["message"].as_str().unwrap();
            assert!(
                message.contains("Send fewer or shorter inputs"),
                "{message}"
            );
        }
    }
    assert_eq!(gateway.simulator.received().len(), 2);
}
