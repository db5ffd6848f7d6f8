//! Where a call begins: strategies, weights, conversations with a cached prompt, and targets that stay in one region.

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;

use crate::support::regions::{Regions, ask, failure};

const MODELS: &str = r#"
    [models.turns]
    target = "us.anthropic.claude-haiku-5-5"
    regions = ["us-east-1", "us-west-2"]
    strategy = "round_robin"
    weights = { us-west-2 = 3 }
    [models.busy]
    target = "amazon.nova-lite-v1:0"
    regions = ["us-east-1", "us-west-2"]
    strategy = "least_in_flight"
    [models.guarded]
    target = "amazon.nova-lite-v1:0"
    regions = ["us-east-1", "us-west-2"]
    guardrail = { identifier = "abc123", version = "1" }
    [models.roomy]
    target = "us.anthropic.claude-haiku-5-5"
    regions = ["us-east-1", "us-west-2"]
    strategy = "headroom"
    max_tokens = 1000
    [models.ordered]
    target = "amazon.nova-lite-v1:0"
    regions = ["us-west-2", "us-east-1"]
"#;

#[tokio::test]
async fn calls_take_turns_by_weight() {
    let regions = Regions::start(MODELS).await;
    for _ in 0..8 {
        regions.region_of("turns", "Hi").await;
    }
    assert_eq!(regions.received(), [2, 6, 0]);
    assert_eq!(regions.region_of("ordered", "Hi").await, "us-west-2");
}

#[tokio::test]
async fn calls_begin_where_the_fewest_are_in_flight() {
    let regions = Regions::start(MODELS).await;
    let slow = ask("busy", "[simulate slow 300ms]");
    let calls = (0..6).map(|_| regions.gateway.chat(&slow));
    for reply in join_all(calls).await {
        assert_eq!(reply.status, StatusCode::OK);
    }
    assert_eq!(regions.received(), [3, 3, 0]);
}

#[tokio::test]
async fn conversation_with_a_cached_prompt_stays_in_its_region() {
    let regions = Regions::start(MODELS).await;
    let mut seen = std::collections::BTreeSet::new();
    for conversation in 0..8 {
        let system = json!({"role": "system", "content": [{"type": "text",
            "text": format!("You are assistant {conversation}."), "cache_control": {"type": "ephemeral"}}]});
        let mut messages = vec![system, json!({"role": "user", "content": "Hi"})];
        let mut own = std::collections::BTreeSet::new();
        for turn in 0..3 {
            let request = json!({"model": "turns", "messages": messages});
            let reply = regions.gateway.chat(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            own.insert(reply.header("x-lintel-region").unwrap().to_owned());
            messages.push(json!({"role": "assistant", "content": "Hello."}));
            messages.push(json!({"role": "user", "content": format!("And {turn}?")}));
        }
        assert_eq!(own.len(), 1, "{own:?}");
        seen.extend(own);
    }
    assert_eq!(seen.len(), 2, "conversations are in both regions: {seen:?}");
}

/// A guardrail exists in one region only. Elsewhere, Bedrock would reject the call.
#[tokio::test]
async fn call_that_carries_a_guardrail_stays_in_its_region() {
    let regions = Regions::start(MODELS).await;
    regions
        .east
        .script(failure(503, "ServiceUnavailableException"));
    let reply = regions.gateway.chat(&ask("guarded", "Hi")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(regions.received(), [1, 0, 0]);
}

#[tokio::test]
async fn region_that_throttles_rests_while_another_answers() {
    let regions = Regions::start(MODELS).await;
    let mut throttled = failure(429, "ThrottlingException");
    throttled.headers.push(("retry-after".into(), "60".into()));
    regions.west.script(throttled);
    for _ in 0..4 {
        assert_eq!(regions.region_of("ordered", "Hi").await, "us-east-1");
    }
    assert_eq!(regions.received(), [4, 1, 0]);
}

/// What a call may use counts while it runs, and what it has used counts afterwards, as AWS's quotas do.
#[tokio::test]
async fn calls_begin_where_most_of_the_quota_is_left() {
    let regions = Regions::start(MODELS).await;
    let slow = ask("roomy", "[simulate slow 500ms]");
    let calls = (0..4).map(|_| regions.gateway.chat(&slow));
    for reply in join_all(calls).await {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    assert_eq!(regions.received(), [2, 2, 0]);
}
