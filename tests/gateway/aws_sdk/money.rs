//! Budgets of requests of AWS SDKs.

use serde_json::{Value, json};

use super::{call, claude, error_type, say, start};
use crate::support::{
    Gateway,
    money::{booked, budget, key, nano, standing},
};

/// Waits for the record of a key's only call, and returns its certainty and its cost in nano-dollars.
pub async fn settled(gateway: &Gateway, id: &str) -> (String, i64) {
    gateway
        .until(async || !booked(gateway, id).await.is_empty())
        .await;
    let (settled, reserved) = standing(gateway, id).await;
    assert_eq!(reserved, "0");
    (booked(gateway, id).await[0].0.clone(), nano(&settled))
}

fn bill(gateway: &Gateway, before: (i64, i64)) -> i64 {
    let (input, output) = gateway.billed();
    (input - before.0) * 2000 + (output - before.1) * 10_000
}

#[tokio::test]
async fn settled_amount_is_the_bill() {
    let gateway = start().await;
    let llama = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]});
    for (path, body) in [
        ("/model/lite/converse", say("Hello there")),
        ("/model/lite/converse-stream", say("[simulate words 30]")),
        ("/model/lite/invoke", llama),
        ("/model/sonnet/invoke", claude("Hello")),
        (
            "/model/sonnet/invoke-with-response-stream",
            claude("[simulate words 30]"),
        ),
    ] {
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let before = gateway.billed();
        let reply = call(&gateway, &secret, path, &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        gateway
            .until(async || !booked(&gateway, &id).await.is_empty())
            .await;
        let (settled, reserved) = standing(&gateway, &id).await;
        let bill = bill(&gateway, before);
        assert!(bill > 0, "{path}");
        assert_eq!((nano(&settled), reserved.as_str()), (bill, "0"), "{path}");
        assert_eq!(booked(&gateway, &id).await[0].0, "actual", "{path}");
    }
}

/// The output alone can cost 100 times $10 per million.
#[tokio::test]
async fn a_budget_below_the_worst_case_rejects_before_anything_is_sent() {
    let gateway = start().await;
    let (_, secret) = key(&gateway, budget(0.001)).await;
    for (path, body) in [
        ("/model/lite/converse", say("Hi")),
        ("/model/lite/converse-stream", say("Hi")),
        ("/model/sonnet/invoke", claude("Hi")),
    ] {
        let reply = call(&gateway, &secret, path, &body).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        assert_eq!(error_type(&reply), "ServiceQuotaExceededException");
    }
    assert!(gateway.simulator.received().is_empty());
    let (_, secret) = key(&gateway, budget(0.01)).await;
    let reply = call(&gateway, &secret, "/model/lite/converse", &say("Hi")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn body_that_cannot_be_bounded_is_rejected_under_a_budget_only() {
    let gateway = start().await;
    let (_, secret) = key(&gateway, budget(5.0)).await;
    let mut body = claude("Hi");
    body["metadata"] = json!({"user_id": "u"});
    let path = "/model/sonnet/invoke";
    assert_eq!(call(&gateway, &secret, path, &body).await.status, 200);
    let mut body = say("Hi");
    body["additionalModelRequestFields"] = json!({"made_up": 1});
    let path = "/model/lite/converse";
    let reply = call(&gateway, &secret, path, &body).await;
    assert_eq!(error_type(&reply), "ValidationException");
    assert!(reply.text().contains("budget"), "{}", reply.text());
    let unknown = json!({"prompt": "Hi", "num_generations": 40});
    let reply = call(&gateway, &secret, "/model/sonnet/invoke", &unknown).await;
    assert_eq!(error_type(&reply), "ValidationException");
    assert!(reply.text().contains("budget"), "{}", reply.text());
}

/// A document can fill the context window, however small it is.
#[tokio::test]
async fn document_reserves_the_context_window() {
    let gateway = start().await;
    let document =
        json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "JVBERi0="}}});
    let mut body = say("Hi");
    body["messages"][0]["content"]
        .as_array_mut()
        .unwrap()
        .push(document);
    let (_, secret) = key(&gateway, budget(0.3)).await;
    let reply = call(&gateway, &secret, "/model/lite/converse", &body).await;
    assert_eq!(error_type(&reply), "ServiceQuotaExceededException");
    let (_, secret) = key(&gateway, budget(5.0)).await;
    let reply = call(&gateway, &secret, "/model/lite/converse", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn errors_are_free() {
    let gateway = start().await;
    let (id, secret) = key(&gateway, budget(5.0)).await;
    let path = "/model/lite/converse";
    call(&gateway, &secret, path, &say("[simulate throttle]")).await;
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    let (settled, reserved) = standing(&gateway, &id).await;
    assert_eq!((settled.as_str(), reserved.as_str()), ("0", "0"));
    let rows: Vec<Value> = booked(&gateway, &id)
        .await
        .into_iter()
        .map(|row| row.0.into())
        .collect();
    assert_eq!(rows.len(), 1);
}
