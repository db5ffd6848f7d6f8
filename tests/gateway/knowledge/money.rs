//! What passages, reranking and condensing cost: set aside before, settled after, told to the client.

use http::Method;
use serde_json::{Value, json};

use super::{READER, asking, kb, searched, settings};
use crate::support::{
    Gateway,
    money::{SETTINGS, key, nano, of, standing},
    user,
};

pub async fn start(more: &str) -> Gateway {
    Gateway::start_with(&(settings() + SETTINGS + more)).await
}

pub async fn reader(gateway: &Gateway, usd: f64) -> (String, String) {
    key(
        gateway,
        json!({"knowledge_bases": ["*"], "budget": {"usd": usd, "per": "day"}}),
    )
    .await
}

#[tokio::test]
async fn the_worst_case_of_the_context_is_set_aside_before_the_search() {
    let gateway = start("").await;
    let small = json!({"name": "docs", "max_context_chars": 100, "max_results": 1});
    // A hundred tokens of output are a tenth of a cent; 8000 characters may be 32,000 tokens, six cents.
    let (id, secret) = reader(&gateway, 0.05).await;
    let first = gateway.as_key(&secret, &of("priced", user("Hi"))).await;
    let refused = gateway
        .as_key(&secret, &of("priced", asking(json!("docs"), "budget")))
        .await;
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.error()["code"].as_str().unwrap()
        ),
        (429, "insufficient_quota")
    );
    assert!(searched(&gateway).is_empty(), "nothing was searched either");
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
        "what it really was: {settled} {cost}"
    );
}

#[tokio::test]
async fn reranking_is_paid_for() {
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
    let told = reranked.json()["usage"]["cost"].as_f64().unwrap();
    assert!((told * 1e9 - cost(&reranked) as f64).abs() < 1.0, "{told}");
    let (settled, _) = standing(&gateway, &id).await;
    assert_eq!(
        nano(&settled),
        cost(&plain) + cost(&reranked),
        "the ledger has what the client was told"
    );
    // The same where the search fails behind it: a query that broke off may be on the bill, a refusal is not.
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
        (usage["usage"]["cost"].as_f64().unwrap() - told).abs() < 1e-9,
        "{usage}"
    );
    let refused = gateway
        .as_key(&secret, &of("priced", asking(json!("unpriced"), "budget")))
        .await;
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.error()["code"].as_str().unwrap()
        ),
        (403, "model_unpriced")
    );
    let free = gateway
        .as_key(READER, &of("priced", asking(json!("unpriced"), "budget")))
        .await;
    assert_eq!(
        (free.status.as_u16(), free.json()["usage"].get("cost")),
        (200, None),
        "unknown, and not less"
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
        "what is known"
    );
    // Also where the model has no price: what is known is not lost.
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
    // A slice of a stream holds what reranking may cost.
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
        "twenty documents in 26 parts each are six queries, five times"
    );
}

#[tokio::test]
async fn a_stream_that_a_budget_cuts_tells_the_whole_cost() {
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
        json!({"knowledge_bases": ["*"], "budget": {"usd": 0.07, "per": "day", "mode": "sliced"}});
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
        "the budget has ended it"
    );
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    let told = usage["usage"]["cost"].as_f64().unwrap();
    let output = usage["usage"]["completion_tokens"].as_f64().unwrap() * 1e-5;
    assert!(told > output + 0.002, "with the query: {usage}");
    let (settled, _) = standing(&gateway, &id).await;
    assert!(nano(&settled) as f64 >= told * 1e9 - 1.0, "{settled}");
}
