//! The cost of passages and reranking: reserved before the search, settled at the end, and reported to the client.

use http::Method;
use serde_json::{Value, json};

use super::{READER, asking, kb, searched, settings};
use crate::support::{
    Gateway,
    money::{SETTINGS, key, nano, of, standing},
    user,
};

/// Starts a gateway with priced models and `more` settings.
pub async fn start(more: &str) -> Gateway {
    Gateway::start_with(&(settings() + SETTINGS + more)).await
}

/// Creates a key with a daily budget that may use every Knowledge Base.
pub async fn reader(gateway: &Gateway, usd: f64) -> (String, String) {
    key(
        gateway,
        json!({"knowledge_bases": ["*"], "budget": {"usd": usd, "per": "day"}}),
    )
    .await
}

#[tokio::test]
async fn the_worst_case_of_the_passages_is_reserved_before_the_search() {
    let gateway = start("").await;
    let small = json!({"name": "docs", "max_context_chars": 100, "max_results": 1});
    // 100 tokens of output cost $0.001. 8000 characters can be 32,000 tokens, which cost $0.064, and two images cost $0.066.
    let (id, secret) = reader(&gateway, 0.1).await;
    let first = gateway.as_key(&secret, &of("priced", user("Hi"))).await;
    let rejected = gateway
        .as_key(&secret, &of("priced", asking(json!("docs"), "budget")))
        .await;
    assert_eq!(
        (
            rejected.status.as_u16(),
            rejected.error()["code"].as_str().unwrap()
        ),
        (429, "insufficient_quota")
    );
    assert!(searched(&gateway).is_empty(), "rejected before the search");
    let reply = gateway
        .as_key(&secret, &of("priced", asking(small, "budget")))
        .await;
    assert_eq!(kb(&reply)["used"], true);
    let cost = reply.header("x-lintel-cost-usd").unwrap();
    let (settled, reserved) = standing(&gateway, &id).await;
    let first = nano(first.header("x-lintel-cost-usd").unwrap());
    assert_eq!(
        (nano(&settled) - nano(cost), reserved.as_str()),
        (first, "0"),
        "the actual cost is settled: {settled} {cost}"
    );
}

#[tokio::test]
async fn reranking_is_reserved_settled_and_reported() {
    let more = r#"
        [knowledge_bases.reranked]
        id = "RERANKED00"
        rerank = "cohere.rerank-v3-5:0"
        max_results = 2
        [knowledge_bases.unpriced]
        id = "UNPRICED00"
        rerank = "somebody.rerank-v1:0"
    "#;
    let gateway = start(more).await;
    let (id, secret) = reader(&gateway, 1.0).await;
    let plain = gateway
        .as_key(
            &secret,
            &of(
                "priced",
                asking(json!({"name": "reranked", "rerank": "none"}), "budget"),
            ),
        )
        .await;
    let reranked = gateway
        .as_key(&secret, &of("priced", asking(json!("reranked"), "budget")))
        .await;
    let tokens = |reply: &crate::support::Reply| {
        let usage = &reply.json()["usage"];
        usage["prompt_tokens"].as_i64().unwrap() * 2000
            + usage["completion_tokens"].as_i64().unwrap() * 10_000
    };
    let cost = |reply: &crate::support::Reply| nano(reply.header("x-lintel-cost-usd").unwrap());
    assert_eq!(cost(&plain), tokens(&plain));
    assert_eq!(
        cost(&reranked),
        tokens(&reranked) + nano("0.002"),
        "one query"
    );
    let reported = reranked.json()["usage"]["cost"].as_f64().unwrap();
    assert!(
        (reported * 1e9 - cost(&reranked) as f64).abs() < 1.0,
        "{reported}"
    );
    let (settled, _) = standing(&gateway, &id).await;
    assert_eq!(
        nano(&settled),
        cost(&plain) + cost(&reranked),
        "the ledger and the client see the same cost"
    );
    // A failed search can be billed, unless the service rejected it.
    for (fault, fee) in [("internal", "0.002"), ("throttle", "0")] {
        let (before, _) = standing(&gateway, &id).await;
        let object = json!({"name": "reranked", "on_error": "fail", "query": format!("[simulate kb {fault}]")});
        assert!(
            !gateway
                .as_key(&secret, &of("priced", asking(object, "budget")))
                .await
                .status
                .is_success()
        );
        let (after, _) = standing(&gateway, &id).await;
        assert_eq!(nano(&after) - nano(&before), nano(fee), "{fault}");
    }
    let mut stream = of("priced", asking(json!("reranked"), "budget"));
    stream["stream"] = true.into();
    stream["stream_options"] = json!({"include_usage": true});
    let reply = gateway.as_key(&secret, &stream).await;
    let events = reply.events();
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert!(
        (usage["usage"]["cost"].as_f64().unwrap() - reported).abs() < 1e-9,
        "{usage}"
    );
    let rejected = gateway
        .as_key(&secret, &of("priced", asking(json!("unpriced"), "budget")))
        .await;
    assert_eq!(
        (
            rejected.status.as_u16(),
            rejected.error()["code"].as_str().unwrap()
        ),
        (403, "model_unpriced")
    );
    let free = gateway
        .as_key(READER, &of("priced", asking(json!("unpriced"), "budget")))
        .await;
    assert_eq!(
        (free.status.as_u16(), free.json()["usage"].get("cost")),
        (200, None),
        "an unknown cost is not reported as a lower one"
    );
    let (_, usage) = gateway
        .administer(
            Method::GET,
            "/admin/usage?by=key,kind&since=1h",
            &Value::Null,
        )
        .await;
    let row = usage["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["key"] == "reader")
        .unwrap();
    assert_eq!(
        (&row["kind"], nano(row["cost_usd"].as_str().unwrap())),
        (&json!("presumed"), tokens(&free)),
        "the known cost of the model"
    );
    // The known cost is settled even if the model has no price.
    let unknown = gateway
        .as_key(READER, &of("unpriced", asking(json!("reranked"), "budget")))
        .await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.json()["usage"].get("cost")),
        (200, None)
    );
    let (_, usage) = gateway
        .administer(
            Method::GET,
            "/admin/usage?by=key,model&since=1h",
            &Value::Null,
        )
        .await;
    let rows = usage["rows"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["key"] == "reader" && row["model"] == "unpriced")
        .unwrap();
    assert_eq!(row["cost_usd"], "0.002");
    // The first slice of a stream includes the most that reranking can cost.
    let sliced =
        json!({"knowledge_bases": ["*"], "budget": {"usd": 0.1, "per": "day", "mode": "sliced"}});
    let (_, secret) = key(&gateway, sliced).await;
    let mut many = of(
        "priced",
        asking(
            json!({"name": "reranked", "max_context_chars": 100}),
            "budget",
        ),
    );
    many["stream"] = true.into();
    assert_eq!(gateway.as_key(&secret, &many).await.status, 200);
    many["kb"] = json!({"name": "reranked", "max_context_chars": 100, "max_results": 20, "query": "q".repeat(20_000)});
    assert_eq!(
        gateway.as_key(&secret, &many).await.status,
        429,
        "20 documents of 56 billed units each are 12 queries per request"
    );
}

#[tokio::test]
async fn a_stream_ended_by_a_budget_reports_the_cost_of_reranking() {
    let more = r#"
        [knowledge_bases.reranked]
        id = "RERANKED00"
        rerank = "cohere.rerank-v3-5:0"
        max_results = 1
        max_context_chars = 100
        [models.long]
        target = "amazon.nova-lite-v1:0"
        max_tokens = 5000
        price = { input = 2.0, output = 10.0 }
    "#;
    let gateway = start(more).await;
    let sliced =
        json!({"knowledge_bases": ["*"], "budget": {"usd": 0.11, "per": "day", "mode": "sliced"}});
    let (id, secret) = key(&gateway, sliced).await;
    let mut request = of(
        "long",
        asking(json!("reranked"), "budget [simulate words 4900]"),
    );
    request["stream"] = true.into();
    request["stream_options"] = json!({"include_usage": true});
    let reply = gateway.as_key(&secret, &request).await;
    let events = reply.events();
    assert!(
        reply.text().contains("\"finish_reason\":\"length\""),
        "the budget ends the stream"
    );
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    let reported = usage["usage"]["cost"].as_f64().unwrap();
    let output = usage["usage"]["completion_tokens"].as_f64().unwrap() * 1e-5;
    assert!(
        reported > output + 0.002,
        "includes the reranking query: {usage}"
    );
    let (settled, _) = standing(&gateway, &id).await;
    assert!(nano(&settled) as f64 >= reported * 1e9 - 1.0, "{settled}");
}
