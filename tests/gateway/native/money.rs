//! Budgets of chats over the OpenAI-compatible endpoints.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{ask, gateway, with};
use crate::support::money::{booked, budget, key, nano, standing};

#[tokio::test]
async fn settled_amount_is_the_bill() {
    let gateway = gateway().await;
    for model in ["oss", "oss_mantle", "gpt"] {
        let (id, secret) = key(&gateway, budget(5.0)).await;
        let before = gateway.billed();
        for request in [
            ask(model, "Hello there"),
            with(ask(model, "one two three"), "stream", true),
            with(ask(model, "twice"), "n", 2),
            with(ask(model, "[simulate words 30]"), "max_tokens", 20),
        ] {
            let reply = gateway.as_key(&secret, &request).await;
            assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
        }
        gateway
            .until(async || {
                booked(&gateway, &id)
                    .await
                    .iter()
                    .map(|row| row.1)
                    .sum::<i64>()
                    == 4
            })
            .await;
        let (settled, reserved) = standing(&gateway, &id).await;
        let (input, output) = gateway.billed();
        let bill = (input - before.0) * 2000 + (output - before.1) * 10_000;
        assert_eq!((nano(&settled), reserved.as_str()), (bill, "0"), "{model}");
    }
}

#[tokio::test]
async fn a_budget_below_the_worst_case_rejects_before_anything_is_sent() {
    let gateway = gateway().await;
    let (_, secret) = key(&gateway, budget(0.02)).await;
    // The output alone can cost 4096 * $10 per million.
    let reply = gateway.as_key(&secret, &ask("oss", "Hi")).await;
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.text()
    );
    assert!(gateway.simulator.received().is_empty());
    let reply = gateway
        .as_key(&secret, &with(ask("oss", "Hi"), "max_tokens", 100))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

/// The service can report all of the reservation, but no more.
#[tokio::test]
async fn cached_tokens_and_reasoning_have_their_own_prices() {
    let gateway = gateway().await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let message = json!({"role": "assistant", "content": "Hi"});
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 40},
    });
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage});
    gateway
        .simulator
        .script(ScriptedReply::json(200, body.to_string()));
    let reply = gateway.as_key(&secret, &ask("oss", "Hi")).await.json();
    assert_eq!(
        reply["usage"]["completion_tokens_details"]["reasoning_tokens"],
        40
    );
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    assert_eq!(
        nano(&standing(&gateway, &id).await.0),
        100 * 2000 + 50 * 10_000
    );
}

#[tokio::test]
async fn rejected_requests_cost_nothing() {
    let gateway = gateway().await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let refusal = json!({"error": {"message": "No.", "param": "temperature", "code": "unsupported_parameter"}});
    gateway
        .simulator
        .script(ScriptedReply::json(400, refusal.to_string()));
    let request = with(ask("oss", "one two"), "temperature", 0.5);
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let unknown = json!({"Output": {"__type": "UnknownOperationException"}});
    gateway
        .simulator
        .script(ScriptedReply::json(200, unknown.to_string()));
    let reply = gateway.as_key(&secret, &ask("oss", "Hi")).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    let (settled, reserved) = standing(&gateway, &id).await;
    let (input, output) = gateway.billed();
    assert_eq!(
        (nano(&settled), reserved.as_str()),
        (input * 2000 + output * 10_000, "0")
    );
    let certain: Vec<Value> = booked(&gateway, &id)
        .await
        .into_iter()
        .map(|row| row.0.into())
        .collect();
    assert!(!certain.is_empty());
}
