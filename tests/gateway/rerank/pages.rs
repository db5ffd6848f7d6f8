//! Results in several pages. The simulator returns 500 results on a page, and bills each.

use futures_util::future::join_all;
use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{QUERY, RERANK, SETTINGS, only_record, order, queries, rank, request};
use crate::support::{
    Gateway,
    money::{budget, key, standing},
};

/// A request with so many documents, which is billed `documents / 100` queries for each page.
fn many(documents: usize) -> Value {
    let mut request = request("ranker");
    request["documents"] = json!(vec!["short"; documents]);
    request
}

#[tokio::test]
async fn every_page_of_results_is_fetched_and_booked() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = many(501);
    let (id, secret) = key(&gateway, budget(0.024)).await;
    let reply = gateway.ask(RERANK, &secret, &request).await;
    assert_eq!(order(&reply), (0..501).collect::<Vec<_>>());
    assert_eq!(reply.header("x-lintel-attempts"), Some("2"));
    assert_eq!(only_record(&gateway, &id).await.1, 12 * QUERY);
    assert_eq!(queries(&gateway), 12);
    request["top_n"] = 500.into();
    let (id, secret) = key(&gateway, budget(0.012)).await;
    let reply = gateway.ask(RERANK, &secret, &request).await;
    assert_eq!(order(&reply).len(), 500);
    assert_eq!(only_record(&gateway, &id).await.1, 6 * QUERY);
}

/// One page was reserved, and billed, before the budget rejected the next.
#[tokio::test]
async fn every_page_that_top_n_can_need_is_held_before_anything_is_sent() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = many(600);
    let (_, secret) = key(&gateway, budget(0.023_999_999)).await;
    let reply = gateway.ask(RERANK, &secret, &request).await;
    assert_eq!(reply.error()["code"], "insufficient_quota");
    let message = reply.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("$0.024") && message.contains("top_n"),
        "{message}"
    );
    request["max_cost_usd"] = json!(0.012);
    let reply = rank(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "max_cost_exceeded");
    assert!(gateway.simulator.received().is_empty());
    request["top_n"] = 500.into();
    assert_eq!(order(&rank(&gateway, &request).await).len(), 500);
}

/// All ten callers were rejected, and $0.048 of $0.05 were billed.
#[tokio::test]
async fn callers_that_race_for_a_budget_are_answered_or_cost_nothing() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(0.05)).await;
    let mut request = many(600);
    request["query"] = "capital [simulate slow 20ms]".into();
    let replies = join_all((0..10).map(|_| gateway.ask(RERANK, &secret, &request))).await;
    let served = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::OK);
    assert_eq!(served.count(), 2, "two requests of 0.024 dollars fit");
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    assert_eq!(standing(&gateway, &id).await.0, "0.048");
    assert_eq!(queries(&gateway), 24);
}

/// Bedrock documents no size of pages, so there can be more than were reserved.
#[tokio::test]
async fn results_that_no_budget_covers_are_missing_with_a_warning() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let page = json!({"results": [{"index": 1, "relevanceScore": 0.5}], "nextToken": "page-1"});
    gateway
        .simulator
        .script(ScriptedReply::json(200, page.to_string()));
    let (id, secret) = key(&gateway, budget(0.002)).await;
    let reply = gateway.ask(RERANK, &secret, &request("ranker")).await;
    assert_eq!(order(&reply), [1]);
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.starts_with("results: the rest is missing")
            && warnings.contains("the 3 requested"),
        "{warnings}"
    );
    assert_eq!(only_record(&gateway, &id).await.1, QUERY);
}

/// Both were passed on as they came.
#[tokio::test]
async fn results_are_sorted_and_missing_ones_are_a_warning() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let result = |index: u32, score: f64| json!({"index": index, "relevanceScore": score});
    let all = [result(0, 0.1), result(2, 0.9), result(1, 0.5)];
    for (count, sorted) in [(3, &[2, 1, 0][..]), (2, &[2, 0])] {
        let body = json!({"results": all[..count]}).to_string();
        gateway.simulator.script(ScriptedReply::json(200, body));
        let reply = rank(&gateway, &request("ranker")).await;
        assert_eq!(order(&reply), sorted);
        let warnings = reply.header("x-lintel-warnings");
        match count {
            3 => assert_eq!(warnings, None),
            _ => assert!(warnings.unwrap().starts_with("results: only 2")),
        }
    }
}
