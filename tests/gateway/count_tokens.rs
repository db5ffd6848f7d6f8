//! `POST /v1/count_tokens`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    ANY_KEY, Gateway, KEY, Reply,
    endpoints::COUNT_TOKENS,
    money::{booked, budget, key, of, standing},
    user,
};

const SETTINGS: &str = r#"
    [models.haiku]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    [models.old]
    target = "anthropic.claude-3-5-sonnet-20240620-v1:0"
    [models.vectors]
    target = "amazon.titan-embed-text-v2:0"
"#;

async fn count(gateway: &Gateway, request: &Value) -> Reply {
    gateway.ask(COUNT_TOKENS, ANY_KEY, request).await
}

#[tokio::test]
async fn bedrock_counts_the_input_that_it_would_bill() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("haiku", user("One two three"));
    request["tools"] =
        json!([{"type": "function", "function": {"name": "look_up", "description": "Looks up"}}]);
    request["max_tokens"] = 50.into();
    request["temperature"] = 0.5.into();
    let reply = count(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let counted = reply.json();
    assert_eq!(counted["source"], "service");
    assert_eq!(counted["model"], "haiku");
    assert_eq!(reply.header("x-lintel-cost-usd"), None);
    let sent = gateway.sent();
    assert_eq!(sent.model_id, "anthropic.claude-haiku-4-5-20251001-v1:0");
    assert!(sent.path.ends_with("/count-tokens"), "{}", sent.path);
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        body["input"]["converse"]["messages"][0]["content"][0]["text"],
        "One two three"
    );
    assert!(
        body["input"]["converse"]["toolConfig"]["tools"][0].is_object(),
        "{body}"
    );
    let billed = gateway.any(&request).await.json()["usage"]["prompt_tokens"].clone();
    assert_eq!(counted["input_tokens"], billed);
    assert_eq!(
        gateway.simulator.invocations().len(),
        1,
        "only the chat is billed"
    );
}

#[tokio::test]
async fn where_bedrock_does_not_count_the_bound_of_budgets_is_returned() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (already, model) in ["nova", "claude", "amazon.nova-lite-v1:0"]
        .into_iter()
        .enumerate()
    {
        let request = of(model, user("One two three"));
        let counted = count(&gateway, &request).await.json();
        assert_eq!(counted["source"], "bound", "{counted}");
        assert_eq!(
            gateway.simulator.received().len(),
            already,
            "nothing is sent"
        );
        let billed = gateway.any(&request).await.json()["usage"]["prompt_tokens"].clone();
        assert!(
            counted["input_tokens"].as_u64() > billed.as_u64(),
            "{counted}"
        );
    }
}

#[tokio::test]
async fn bound_replaces_a_count_that_aws_refuses() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = count(&gateway, &of("haiku", user("[simulate access-denied]"))).await;
    assert_eq!(reply.json()["source"], "bound");
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("bedrock:CountTokens"), "{warnings}");
    // The catalog says that this model is counted, and the service does not agree.
    let settings =
        "[models.other]\ntarget = \"amazon.nova-lite-v1:0\"\nfacts = { count_tokens = true }\n";
    let gateway = Gateway::start_with(settings).await;
    let reply = count(&gateway, &of("other", user("Hi"))).await;
    assert_eq!(reply.json()["source"], "bound");
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("input_tokens: an upper bound"),
        "{warnings}"
    );
}

#[tokio::test]
async fn other_failures_of_the_count_are_errors() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (fault, status) in [
        ("throttle", StatusCode::TOO_MANY_REQUESTS),
        ("internal", StatusCode::BAD_GATEWAY),
        ("validation", StatusCode::BAD_REQUEST),
    ] {
        let text = format!("[simulate {fault}]");
        let reply = count(&gateway, &of("haiku", user(&text))).await;
        assert_eq!(reply.status, status, "{fault}: {}", reply.text());
    }
    for (model, status) in [
        ("vectors", StatusCode::NOT_FOUND),
        ("unknown", StatusCode::NOT_FOUND),
    ] {
        let reply = count(&gateway, &of(model, user("Hi"))).await;
        assert_eq!(reply.status, status, "{model}: {}", reply.text());
    }
    let reply = gateway
        .ask(COUNT_TOKENS, KEY, &json!({"model": "haiku"}))
        .await;
    assert_eq!(reply.error()["param"], "messages");
}

#[tokio::test]
async fn count_takes_no_request_of_the_limits_and_costs_nothing() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut settings = budget(0.000_000_001);
    settings["limits"] = json!({"requests_per_minute": 1, "burst": 1});
    let (id, secret) = key(&gateway, settings).await;
    let request = of("haiku", user("Hi"));
    for _ in 0..3 {
        let reply = gateway.ask(COUNT_TOKENS, &secret, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    assert_eq!(
        standing(&gateway, &id).await,
        ("0".to_owned(), "0".to_owned())
    );
    assert!(booked(&gateway, &id).await.is_empty());
    let (_, metrics) = gateway.admin("/metrics").await;
    let route = "route=\"/v1/count_tokens\"";
    assert!(
        metrics.lines().any(|line| line.contains(route)),
        "{metrics}"
    );
}

#[tokio::test]
async fn passages_of_knowledge_bases_are_not_counted() {
    let settings = format!(
        "{SETTINGS}\n[knowledge_bases.docs]\nid = \"LINTELDOCS\"\n[keys.kb]\nsha256 = \"{}\"\nknowledge_bases = [\"docs\"]\n",
        crate::support::sha256("sk-test-kb")
    );
    let gateway = Gateway::start_with(&settings).await;
    let mut request = of("haiku", user("What does a budget reserve?"));
    request["kb"] = "docs".into();
    let reply = gateway.ask(COUNT_TOKENS, "sk-test-kb", &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("kb: its passages")
    );
    assert_eq!(gateway.simulator.received().len(), 1, "no search is made");
}
