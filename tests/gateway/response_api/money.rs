//! Budgets, limits and metrics.

use http::StatusCode;
use serde_json::{Value, json};

use super::{RESPONSES, asking, function, streamed, with};
use crate::support::{
    Gateway,
    money::{SETTINGS, booked, budget, key, nano, of, standing},
};

#[tokio::test]
async fn settled_amount_is_the_bill_and_the_hold_covers_it() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let namespace = json!([{"type": "namespace", "name": "ns", "description": "d", "tools": [function("look")]}]);
    for request in [
        asking("one two three"),
        streamed(asking("one two three")),
        with(asking("ns__look"), "tools", namespace),
        with(
            asking(""),
            "input",
            json!([{"role": "user", "content": "Hi"}, {"type": "compaction_trigger"}]),
        ),
    ] {
        let reply = gateway
            .ask(RESPONSES, &secret, &of("priced", request))
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    let (input, output) = gateway.billed();
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let (settled, _) = standing(&gateway, &id).await;
    assert_eq!(nano(&settled), input * 2_000 + output * 10_000);
    let rows = booked(&gateway, &id).await;
    assert_eq!(rows.iter().map(|row| row.1).sum::<i64>(), 4, "{rows:?}");
}

#[tokio::test]
async fn spent_budget_and_own_limit_stop_a_request_before_it_is_sent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, secret) = key(&gateway, budget(0.000_001)).await;
    let request = of("priced", asking("one two three"));
    let reply = gateway.ask(RESPONSES, &secret, &request).await;
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.text()
    );
    assert_eq!(reply.error()["type"], "insufficient_quota");
    assert_eq!(reply.header("retry-after"), None, "Codex would wait for it");
    let capped = with(request, "max_cost_usd", json!(0.000_001));
    let reply = gateway.respond(&capped).await;
    assert!(reply.status.is_client_error(), "{}", reply.text());
    assert_eq!(gateway.simulator.received().len(), 0);
}

#[tokio::test]
async fn metrics_have_the_path_of_the_api() {
    let gateway = Gateway::start().await;
    gateway.respond(&asking("Hi")).await;
    gateway
        .until(async || {
            let (_, metrics) = gateway.admin("/metrics").await;
            metrics.contains("route=\"/v1/responses\"")
        })
        .await;
    let reply = gateway
        .ask("/responses", crate::support::KEY, &asking("Hi"))
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    let _: Value = reply.json();
}
