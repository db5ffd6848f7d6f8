//! Budgets of chats over Responses.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::json;

use super::{ask, gateway, last, tools, with};
use crate::support::money::{booked, budget, key, nano, standing};

#[tokio::test]
async fn settled_amount_is_the_bill() {
    let gateway = gateway().await;
    for model in ["gpt", "daybreak", "gemma"] {
        let (id, secret) = key(&gateway, budget(5.0)).await;
        let before = gateway.billed();
        for request in [
            ask(model, "Hello there"),
            with(ask(model, "one two three"), "stream", true),
            with(ask(model, "twice"), "n", 2),
            with(ask(model, "[simulate words 30]"), "max_tokens", 20),
            with(ask(model, "use look"), "tools", tools()),
        ] {
            let reply = gateway.as_key(&secret, &request).await;
            assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
        }
        gateway
            .until(async || {
                let rows = booked(&gateway, &id).await;
                rows.iter().map(|row| row.1).sum::<i64>() == 5
            })
            .await;
        let (settled, reserved) = standing(&gateway, &id).await;
        let (input, output) = gateway.billed();
        let bill = (input - before.0) * 2000 + (output - before.1) * 10_000;
        assert_eq!((nano(&settled), reserved.as_str()), (bill, "0"), "{model}");
    }
}

/// The endpoint accepts no limit below sixteen tokens, so that much is reserved.
#[tokio::test]
async fn reservation_covers_the_least_output() {
    let gateway = gateway().await;
    for model in ["gpt", "gemma"] {
        // Fifteen tokens of output and a thousand of input.
        let (_, secret) = key(&gateway, budget((15.0 * 10.0 + 2.0) / 1e6)).await;
        let reply = gateway
            .as_key(&secret, &with(ask(model, "Hi"), "max_tokens", 1))
            .await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{model}");
    }
    assert!(gateway.simulator.received().is_empty());
}

/// Reasoning is inside the limit of the output, whether it is seen or not.
#[tokio::test]
async fn hidden_reasoning_within_the_limit_never_exceeds_the_reservation() {
    let gateway = gateway().await;
    let (id, secret) = key(&gateway, budget(0.01)).await;
    let request = with(ask("gpt", "Hi"), "max_tokens", 100);
    let usage = json!({"input_tokens": 20, "output_tokens": 100, "output_tokens_details": {"reasoning_tokens": 100}});
    let body = json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [], "usage": usage});
    gateway
        .simulator
        .script(ScriptedReply::json(200, body.to_string()));
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(last(&gateway).1["max_output_tokens"], 100);
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    assert_eq!(
        nano(&standing(&gateway, &id).await.0),
        20 * 2000 + 100 * 10_000
    );
}
