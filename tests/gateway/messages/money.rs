//! Budgets, the ledger and metrics.

use http::StatusCode;
use serde_json::json;

use super::{events, joined, message};
use crate::support::{
    Gateway,
    endpoints::{MESSAGES, MESSAGES_COUNT_TOKENS},
    money::{SETTINGS, booked, budget, key, nano, of, standing},
};

#[tokio::test]
async fn bill_is_settled_in_full_and_never_above_what_was_reserved() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let mut request = of("priced", message("one two three"));
    request["max_tokens"] = 50.into();
    let whole = gateway.ask(MESSAGES, &secret, &request).await;
    assert_eq!(whole.status, StatusCode::OK, "{}", whole.text());
    let first = standing(&gateway, &id).await;
    let usage = &whole.json()["usage"];
    let count = |member: &str| usage[member].as_i64().unwrap();
    let bill = count("input_tokens") * 2000 + count("output_tokens") * 10_000;
    assert_eq!((nano(&first.0), nano(&first.1)), (bill, 0));
    request["stream"] = true.into();
    let streamed = gateway.ask(MESSAGES, &secret, &request).await;
    let message = joined(&events(&streamed));
    assert_eq!(message["usage"]["cost"], usage["cost"]);
    let second = standing(&gateway, &id).await;
    assert_eq!((nano(&second.0), nano(&second.1)), (2 * bill, 0));
    let (input, output) = gateway.billed();
    assert_eq!(input * 2000 + output * 10_000, 2 * bill);
}

#[tokio::test]
async fn limit_of_the_client_on_the_cost_applies() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, secret) = key(&gateway, budget(1.0)).await;
    let mut request = of("priced", message("Hi"));
    request["max_cost_usd"] = json!(0.000_000_1);
    let reply = gateway.ask(MESSAGES, &secret, &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text().contains("max_cost_usd"), "{}", reply.text());
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn broken_stream_is_booked() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let mut request = of("priced", message("a b c d e f g h [simulate cut]"));
    request["stream"] = true.into();
    gateway.ask(MESSAGES, &secret, &request).await;
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    let (settled, reserved) = standing(&gateway, &id).await;
    assert!(nano(&settled) > 0, "{settled}");
    assert_eq!(nano(&reserved), 0);
}

#[tokio::test]
async fn counting_is_free_and_metrics_name_both_routes() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(0.01)).await;
    let mut request = of("priced", message("Hi"));
    request["max_tokens"] = 20.into();
    assert_eq!(
        gateway.ask(MESSAGES, &secret, &request).await.status,
        StatusCode::OK
    );
    let before = standing(&gateway, &id).await;
    let counted = gateway.ask(MESSAGES_COUNT_TOKENS, &secret, &request).await;
    assert_eq!(counted.status, StatusCode::OK, "{}", counted.text());
    assert_eq!(standing(&gateway, &id).await, before);
    let (_, metrics) = gateway.admin("/metrics").await;
    for route in [MESSAGES, MESSAGES_COUNT_TOKENS] {
        let label = format!("route=\"{route}\"");
        assert!(metrics.contains(&label), "{label}");
    }
}
