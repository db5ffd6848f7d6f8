//! Budgets, and the sizes of chains.

use http::StatusCode;
use serde_json::json;

use super::{after, check_unknown, id};
use crate::{
    response_api::{RESPONSES, asking, with},
    support::{
        Gateway,
        money::{SETTINGS, booked, budget, key, nano, of, standing},
    },
};

#[tokio::test]
async fn settled_amount_of_a_chain_is_the_bill() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (key_id, secret) = key(&gateway, budget(1.0)).await;
    let mut request = of("priced", asking("one two three"));
    for _ in 0..4 {
        let reply = gateway.ask(RESPONSES, &secret, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        request = after(&reply.json(), request);
    }
    let (input, output) = gateway.billed();
    gateway
        .until(async || standing(&gateway, &key_id).await.1 == "0")
        .await;
    let (settled, _) = standing(&gateway, &key_id).await;
    assert_eq!(nano(&settled), input * 2_000 + output * 10_000);
    let rows = booked(&gateway, &key_id).await;
    assert_eq!(rows.iter().map(|row| row.1).sum::<i64>(), 4, "{rows:?}");
}

/// With a hold for the new input alone, the budget would be exceeded.
#[tokio::test]
async fn chain_is_reserved_as_what_will_be_sent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let long = "word ".repeat(2000);
    let first = gateway.answer(&of("priced", asking(&long))).await;
    let sent = gateway.bodies().len();
    // Enough for thousands of input tokens and the most output.
    let capped = with(of("priced", asking("x")), "max_cost_usd", json!(0.01));
    let reply = gateway.respond(&after(&first, capped.clone())).await;
    assert!(reply.status.is_client_error(), "{}", reply.text());
    assert_eq!(gateway.bodies().len(), sent, "nothing was sent");
    gateway.answer(&capped).await;
}

#[tokio::test]
async fn chain_is_not_longer_than_allowed() {
    let gateway = Gateway::start_with("[responses]\nmax_chain = 3").await;
    let mut request = asking("Hi");
    for _ in 0..3 {
        request = after(&gateway.answer(&request).await, asking("Hi"));
    }
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["param"], "previous_response_id");
    let text = reply.error()["message"].to_string();
    assert!(text.contains("at most 3"), "{text}");
}

#[tokio::test]
async fn chain_is_not_larger_than_a_body() {
    let gateway = Gateway::start_with("max_body = \"64KiB\"\n").await;
    let large = asking(&"x".repeat(40_000));
    let first = gateway.answer(&large).await;
    let reply = gateway.respond(&after(&first, large)).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    assert_eq!(reply.error()["code"], "context_length_exceeded");
}

#[tokio::test]
async fn responses_that_were_unused_for_longest_make_room() {
    let gateway = Gateway::start_with("[responses]\nmax_bytes_per_key = \"20KiB\"").await;
    let long = asking(&"x".repeat(3000));
    let first = gateway.answer(&long).await;
    let other = gateway.respond_any(&long).await.json();
    let mut last = first.clone();
    for _ in 0..5 {
        last = gateway.answer(&long).await;
    }
    gateway
        .until(async || {
            let reply = gateway.retrieve(id(&first)).await;
            reply.status == StatusCode::NOT_FOUND
        })
        .await;
    check_unknown(&gateway.respond(&after(&first, asking("x"))).await);
    gateway.answer(&after(&last, asking("x"))).await;
    let reply = gateway.respond_any(&after(&other, asking("x"))).await;
    assert_eq!(reply.status, StatusCode::OK, "another key has its own room");
}
