//! `POST /v1/moderations`.

mod faults;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    ANY_KEY, Gateway, KEY, Reply,
    endpoints::MODERATIONS,
    money::{booked, budget, key, nano, standing},
};

const GUARDED: &str = "[moderations]\nguardrail = { identifier = \"abc123\", version = \"1\" }\n";
const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// The price of a unit of text, in nano-dollars.
const UNIT: i64 = 70_000;

async fn moderate(gateway: &Gateway, input: impl Into<Value>) -> Reply {
    let request = json!({"input": input.into()});
    gateway.ask(MODERATIONS, KEY, &request).await
}

fn results(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["results"].as_array().unwrap().clone()
}

/// The categories that a result falls into.
fn found(result: &Value) -> Vec<&str> {
    let categories = result["categories"].as_object().unwrap();
    let found = categories.iter().filter(|(_, found)| **found == true);
    found.map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn texts_are_checked_without_a_guardrail() {
    let gateway = Gateway::start().await;
    let reply = moderate(
        &gateway,
        "Bloodshed? No: bloodshed and burglary, you nitwit",
    )
    .await;
    let result = &results(&reply)[0];
    assert_eq!(result["flagged"], true);
    assert_eq!(found(result), ["illicit", "violence"]);
    assert_eq!(result["category_scores"]["violence"], 0.8);
    assert_eq!(
        result["category_scores"]["harassment"], 0.2,
        "below the threshold"
    );
    assert_eq!(result["category_scores"]["self-harm"], 0.0);
    assert_eq!(
        result["category_applied_input_types"]["violence"],
        json!(["text"])
    );
    assert_eq!(
        result["category_applied_input_types"]["self-harm"],
        json!([])
    );
    assert_eq!(result["categories"].as_object().unwrap().len(), 13);
    let body = reply.json();
    assert!(body["id"].as_str().unwrap().starts_with("modr-"));
    assert_eq!(body["model"], "omni-moderation-latest");
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.00007"));
    assert_eq!(reply.header("x-lintel-route"), Some("guardrail_checks"));
    let sent: Value = serde_json::from_slice(&gateway.sent().body).unwrap();
    assert_eq!(sent["messages"][0]["role"], "user");
    assert_eq!(
        sent["checks"]["contentFilter"]["categories"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    assert_eq!(
        results(&moderate(&gateway, "A sunny day").await)[0]["flagged"],
        false
    );
}

#[tokio::test]
async fn each_text_of_a_list_has_a_result_and_parts_share_one() {
    let gateway = Gateway::start().await;
    let texts = json!(["calm", "bloodshed", "  ", "lewdness"]);
    let all = results(&moderate(&gateway, texts).await);
    let flagged: Vec<&Value> = all.iter().map(|one| &one["flagged"]).collect();
    assert_eq!(flagged, [false, true, false, true]);
    assert_eq!(
        gateway.simulator.received().len(),
        3,
        "blank text needs no request"
    );
    let parts = json!([{"type": "text", "text": "calm"}, {"type": "text", "text": "bigotry"}]);
    let all = results(&moderate(&gateway, parts).await);
    assert_eq!(all.len(), 1);
    assert_eq!(found(&all[0]), ["hate"]);
}

#[tokio::test]
async fn long_text_is_split_and_its_highest_score_counts() {
    let gateway = Gateway::start().await;
    let text = format!(
        "{} bloodshed {}",
        "A quiet line. ".repeat(3000),
        "More of it. ".repeat(3000)
    );
    let reply = moderate(&gateway, text.clone()).await;
    assert_eq!(found(&results(&reply)[0]), ["violence"]);
    let received = gateway.simulator.received();
    assert!(received.len() > 3);
    let billed: i64 = gateway.simulator.guardrails().iter().map(units).sum();
    assert!(billed as usize >= text.len() / 1000);
    assert_eq!(
        nano(reply.header("x-lintel-cost-usd").unwrap()),
        billed * UNIT
    );
}

fn units(usage: &Value) -> i64 {
    usage["contentFilter"]["textUnits"].as_i64().unwrap()
}

#[tokio::test]
async fn every_name_of_openais_models_is_accepted() {
    let gateway = Gateway::start().await;
    for model in [
        "omni-moderation-latest",
        "omni-moderation-2024-09-26",
        "text-moderation-latest",
    ] {
        let request = json!({"input": "calm", "model": model});
        let reply = gateway.ask(MODERATIONS, KEY, &request).await;
        assert_eq!(reply.json()["model"], model, "{}", reply.text());
    }
    for model in ["claude", "nobody"] {
        let request = json!({"input": "calm", "model": model});
        let reply = gateway.ask(MODERATIONS, KEY, &request).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.error()["code"], "model_not_found");
    }
    let chat =
        json!({"model": "omni-moderation-latest", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(gateway.chat(&chat).await.status, StatusCode::NOT_FOUND);
    // This key has globs that do not match the name.
    let reply = gateway
        .ask(MODERATIONS, "sk-test-some", &json!({"input": "calm"}))
        .await;
    assert_eq!(reply.error()["code"], "model_not_allowed");
}

#[tokio::test]
async fn configured_threshold_decides() {
    let gateway = Gateway::start_with("[moderations]\nthreshold = 0.2\n").await;
    assert_eq!(
        found(&results(&moderate(&gateway, "nitwit").await)[0]),
        ["harassment"]
    );
    let gateway = Gateway::start_with("[moderations]\nthreshold = 0.9\n").await;
    assert_eq!(
        results(&moderate(&gateway, "bloodshed").await)[0]["flagged"],
        false
    );
}

#[tokio::test]
async fn configured_guardrail_decides_instead() {
    let gateway = Gateway::start_with(GUARDED).await;
    let reply = moderate(&gateway, "bigotry, you nitwit").await;
    let result = &results(&reply)[0];
    assert_eq!(found(result), ["hate"]);
    assert_eq!(result["category_scores"]["hate"], 0.66);
    assert_eq!(
        result["category_scores"]["harassment"], 0.33,
        "seen, but not blocked"
    );
    assert_eq!(reply.header("x-lintel-route"), Some("apply_guardrail"));
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("guardrail"),
        "not the guardrail's id, which is private"
    );
    let sent = gateway.sent();
    assert_eq!(sent.model_id, "abc123/version/1");
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        (&body["source"], &body["outputScope"]),
        (&json!("INPUT"), &json!("FULL"))
    );
    // Its words have no category of OpenAI, and a mask is no reason to flag.
    let result = &results(&moderate(&gateway, "contraband").await)[0];
    assert_eq!((&result["flagged"], found(result).len()), (&json!(true), 0));
    assert_eq!(
        results(&moderate(&gateway, "my secret-abc").await)[0]["flagged"],
        false
    );
}

#[tokio::test]
async fn images_need_a_guardrail() {
    let image = |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]);
    let gateway = Gateway::start().await;
    let error = moderate(&gateway, image(PNG)).await.error();
    assert_eq!(error["param"], "input[0].image_url.url");
    assert!(gateway.simulator.received().is_empty());
    let gateway = Gateway::start_with(GUARDED).await;
    let reply = moderate(&gateway, image(PNG)).await;
    let result = &results(&reply)[0];
    assert_eq!(
        result["category_applied_input_types"]["hate"],
        json!(["image"])
    );
    for url in [
        "https://example.com/a.png",
        "data:image/gif;base64,AAAA",
        "data:image/png;base64,?",
    ] {
        let reply = moderate(&gateway, image(url)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{url}");
    }
}

#[tokio::test]
async fn invalid_inputs_are_rejected_with_their_path() {
    let gateway = Gateway::start().await;
    for (input, param) in [
        (json!([]), "input"),
        (json!(7), "input"),
        (json!(["a", {"type": "text", "text": "b"}]), "input"),
        (json!([{"type": "text"}]), "input[0]"),
        (json!([{"type": "audio", "text": "a"}]), "input[0]"),
        (json!(vec!["a"; 129]), "input"),
    ] {
        let reply = moderate(&gateway, input.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{input}");
        assert_eq!(reply.error()["param"], param, "{input}");
    }
}

#[tokio::test]
async fn moderation_is_held_and_booked_by_units() {
    for (settings, unit) in [("", UNIT), (GUARDED, 0)] {
        let gateway = Gateway::start_with(settings).await;
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let text = "word ".repeat(500);
        let reply = gateway
            .ask(MODERATIONS, &secret, &json!({"input": [text, "short"]}))
            .await;
        let cost = nano(reply.header("x-lintel-cost-usd").unwrap());
        assert!(
            cost > 0 && (unit == 0 || cost == 4 * unit),
            "3 units and 1: {cost}"
        );
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        assert_eq!(nano(&standing(&gateway, &id).await.0), cost);
        let rows = booked(&gateway, &id).await;
        assert_eq!(
            (rows[0].0.as_str(), rows[0].1, nano(&rows[0].2)),
            ("actual", 1, cost)
        );
        assert_eq!(nano_of(&reply), cost);
    }
}

fn nano_of(reply: &Reply) -> i64 {
    let cost = reply.json()["usage"]["cost"].as_f64().unwrap();
    (cost * 1e9).round() as i64
}

#[tokio::test]
async fn budget_that_cannot_pay_the_units_rejects_before_anything_is_sent() {
    let gateway = Gateway::start().await;
    let (_, secret) = key(&gateway, budget(0.000_07)).await;
    let ask = async |input: &str| {
        gateway
            .ask(MODERATIONS, &secret, &json!({"input": input}))
            .await
    };
    let reply = ask(&"word ".repeat(250)).await;
    assert_eq!(reply.error()["code"], "insufficient_quota");
    assert!(gateway.simulator.received().is_empty());
    assert_eq!(
        ask("short").await.status,
        StatusCode::OK,
        "one unit fits exactly"
    );
    let request = json!({"input": "short", "max_cost_usd": 0.00001});
    let reply = gateway.ask(MODERATIONS, ANY_KEY, &request).await;
    assert_eq!(reply.error()["code"], "max_cost_exceeded");
}

#[tokio::test]
async fn failed_checks_are_errors_and_booked_if_bedrock_may_bill_them() {
    let gateway = Gateway::start().await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    for (fault, status, billed) in [
        ("throttle", StatusCode::TOO_MANY_REQUESTS, false),
        ("access-denied", StatusCode::BAD_GATEWAY, false),
        ("internal", StatusCode::BAD_GATEWAY, true),
    ] {
        let before = nano(&standing(&gateway, &id).await.0);
        let request = json!({"input": format!("[simulate apply {fault}]")});
        let reply = gateway.ask(MODERATIONS, &secret, &request).await;
        assert_eq!(reply.status, status, "{fault}: {}", reply.text());
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        let after = nano(&standing(&gateway, &id).await.0);
        assert_eq!(after > before, billed, "{fault}");
    }
    let (_, metrics) = gateway.admin("/metrics").await;
    let line = |part: &str| metrics.lines().any(|line| line.contains(part));
    assert!(line("route=\"/v1/moderations\"") && line("model=\"omni-moderation-latest\""));
}
