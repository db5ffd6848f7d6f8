//! What the log says of a call at the level `debug`.

use http::StatusCode;
use serde_json::Value;

use crate::support::{
    Gateway,
    log::Log,
    money::{SETTINGS, budget, key, of, standing},
    regions::failure,
    streamed, user,
};

/// Returns the lines with this message.
fn lines(log: &Log, message: &str) -> Vec<Value> {
    let mut lines = log.lines();
    lines.retain(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains(message))
    });
    lines
}

/// There was nothing but the line of the access log.
#[tokio::test]
async fn steps_of_a_call_are_logged_with_its_request_id() {
    let log = Log::start_at_debug();
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    gateway
        .simulator
        .script(failure(429, "ThrottlingException"));
    let text = "a text that must not be logged";
    let reply = gateway.as_key(&secret, &of("again2", user(text))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let request_id = reply.header("x-request-id").unwrap();
    let attempts = lines(&log, "a request to AWS");
    let seen: Vec<_> = attempts
        .iter()
        .map(|line| (line["attempt"].as_u64(), line["code"].as_str()))
        .collect();
    let expected = [
        (Some(1), Some("rate_limit_exceeded")),
        (Some(2), Some("ok")),
    ];
    assert_eq!(seen, expected, "{attempts:?}");
    assert_eq!(attempts[0]["target_model"], "amazon.nova-lite-v1:0");
    assert_eq!(attempts[0]["region"], "us-east-1");
    assert!(attempts[0]["duration_ms"].is_number());
    let route = lines(&log, "a route was chosen").remove(0);
    assert_eq!(
        (&route["route"], &route["reason"]),
        (&"converse".into(), &"first_route".into())
    );
    assert_eq!(lines(&log, "cache points")[0]["cache"], "none");
    let reserved = lines(&log, "was reserved").remove(0);
    assert_eq!(reserved["budgets"], 1);
    let settled = lines(&log, "was settled").remove(0);
    assert_eq!(settled["certainty"], "actual");
    for line in log.lines() {
        assert!(!line.to_string().contains(text), "{line}");
        assert!(!line.to_string().contains(&secret), "{line}");
    }
    for line in attempts.iter().chain([&route, &reserved, &settled]) {
        assert_eq!(line["request_id"], request_id, "{line}");
    }
}

#[tokio::test]
async fn steps_of_a_call_are_not_logged_at_the_default_level() {
    let log = Log::start();
    let gateway = Gateway::start_with(SETTINGS).await;
    gateway.chat(&of("priced", streamed("Hi"))).await;
    let levels: Vec<Value> = log
        .lines()
        .iter()
        .map(|line| line["level"].clone())
        .collect();
    assert!(!levels.contains(&"DEBUG".into()), "{levels:?}");
}
