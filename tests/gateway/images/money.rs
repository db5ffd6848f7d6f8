//! What images cost, and what limits them.

use futures_util::future::join_all;
use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::json;

use super::{GENERATIONS, SETTINGS, generate, images, request};
use crate::support::{
    Gateway,
    money::{booked, budget, key, nano, standing},
};

/// The price of one image of `core`, in nano-dollars.
const IMAGE: i64 = 40_000_000;

/// Checks that the ledger and the budget of a key have `requests` requests, and returns their kinds and their cost.
async fn records(gateway: &Gateway, id: &str, requests: i64) -> (Vec<String>, i64) {
    gateway
        .until(async || {
            let rows = booked(gateway, id).await;
            rows.iter().map(|row| row.1).sum::<i64>() == requests
        })
        .await;
    let rows = booked(gateway, id).await;
    let cost = rows.iter().map(|row| nano(&row.2)).sum();
    let (settled, reserved) = standing(gateway, id).await;
    assert_eq!((nano(&settled), reserved.as_str()), (cost, "0"));
    (rows.into_iter().map(|row| row.0).collect(), cost)
}

fn billed(gateway: &Gateway) -> i64 {
    let lines = gateway.simulator.invocations();
    lines
        .iter()
        .map(|line| line["units"]["images"].as_i64().unwrap())
        .sum()
}

#[tokio::test]
async fn a_budget_admits_every_image_and_rejects_them_at_a_nanodollar_less() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = request("core", "a panda");
    request["n"] = 3.into();
    let (_, secret) = key(&gateway, budget(0.119_999_999)).await;
    let rejected = gateway.ask(GENERATIONS, &secret, &request).await;
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    let message = rejected.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("$0.12") && message.contains("Request fewer images"),
        "{message}"
    );
    assert!(gateway.simulator.received().is_empty());
    let (id, secret) = key(&gateway, budget(0.12)).await;
    assert_eq!(
        images(&gateway.ask(GENERATIONS, &secret, &request).await).len(),
        3
    );
    assert_eq!(
        records(&gateway, &id, 1).await,
        (vec!["actual".to_owned()], 3 * IMAGE)
    );
    assert_eq!(billed(&gateway), 3);
    request["model"] = "cheap".into();
    let reply = generate(&gateway, &request).await;
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.003"));
}

#[tokio::test]
async fn requests_that_race_for_a_budget_never_exceed_it() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(0.2)).await;
    let mut request = request("core", "a panda [simulate slow 20ms]");
    request["n"] = 2.into();
    let replies = join_all((0..10).map(|_| gateway.ask(GENERATIONS, &secret, &request))).await;
    let served = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::OK)
        .count() as i64;
    assert_eq!(served, 2, "two requests of 0.08 dollars fit");
    let (_, cost) = records(&gateway, &id, served).await;
    assert_eq!(cost, billed(&gateway) * IMAGE);
    assert_eq!(cost, 4 * IMAGE);
}

#[tokio::test]
async fn a_refusal_of_the_safety_system_is_openais_error_and_billed() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (model, prompt, reason) in [
        ("core", "contraband", "Filter reason: prompt"),
        ("core", "smuggled", "Filter reason: output image"),
        ("canvas", "smuggled", "blocked by our content filters"),
    ] {
        let (id, secret) = key(&gateway, budget(1.0)).await;
        let reply = gateway
            .ask(GENERATIONS, &secret, &request(model, prompt))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
        let error = reply.error();
        assert_eq!(error["code"], "content_policy_violation");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(
            error["message"].as_str().unwrap().contains(reason),
            "{error}"
        );
        assert_eq!(reply.header("x-lintel-attempts"), Some("1"));
        let (kinds, cost) = records(&gateway, &id, 1).await;
        assert_eq!(kinds, ["actual"], "{model}");
        assert!(cost >= IMAGE);
    }
    let text = "This request has been blocked by our content filters.";
    let mut scripted = ScriptedReply::json(400, json!({"message": text}).to_string());
    scripted
        .headers
        .push(("x-amzn-errortype".into(), "ValidationException".into()));
    gateway.simulator.script(scripted);
    let reply = generate(&gateway, &request("canvas", "a panda")).await;
    assert_eq!(reply.error()["code"], "content_policy_violation");
}

#[tokio::test]
async fn if_one_image_fails_the_request_fails_and_the_others_are_booked() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let refused = json!({"finish_reasons": ["Filter reason: output image"]});
    gateway
        .simulator
        .script(ScriptedReply::json(200, refused.to_string()));
    let mut request = request("core", "a panda [simulate slow 50ms]");
    request["n"] = 4.into();
    let reply = gateway.ask(GENERATIONS, &secret, &request).await;
    assert_eq!(reply.error()["code"], "content_policy_violation");
    assert_eq!(
        billed(&gateway),
        3,
        "the simulator does not bill scripted replies"
    );
    assert_eq!(records(&gateway, &id, 1).await.1, 4 * IMAGE);
}

#[tokio::test]
async fn what_may_be_billed_is_booked_and_never_more_than_was_reserved() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (prompt, status, cost) in [
        ("[simulate validation]", 400, 0),
        ("[simulate throttle]", 429, 0),
        ("[simulate reset]", 502, IMAGE),
        ("unpaintable", 502, IMAGE),
    ] {
        let (id, secret) = key(&gateway, budget(0.04)).await;
        let reply = gateway
            .ask(GENERATIONS, &secret, &request("core", prompt))
            .await;
        assert_eq!(reply.status.as_u16(), status, "{prompt}: {}", reply.text());
        assert_eq!(records(&gateway, &id, 1).await.1, cost, "{prompt}");
    }
    for body in [
        "{}",
        r#"{"images": [7]}"#,
        r#"{"images": ["?"], "finish_reasons": [null]}"#,
        // Base64 of a text.
        r#"{"images": ["aGVsbG8="], "finish_reasons": [null]}"#,
    ] {
        gateway.simulator.script(ScriptedReply::json(200, body));
        let (id, secret) = key(&gateway, budget(0.04)).await;
        let reply = gateway
            .ask(GENERATIONS, &secret, &request("core", "a panda"))
            .await;
        assert_eq!(reply.error()["code"], "upstream_malformed", "{body}");
        assert_eq!(records(&gateway, &id, 1).await.1, IMAGE, "{body}");
    }
}

#[tokio::test]
async fn a_repeated_request_is_reserved_and_booked_twice() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (usd, attempts) in [(0.04, "1"), (0.08, "2")] {
        let failed = json!({"finish_reasons": ["Inference error"]});
        gateway
            .simulator
            .script(ScriptedReply::json(200, failed.to_string()));
        let (id, secret) = key(&gateway, budget(usd)).await;
        let reply = gateway
            .ask(GENERATIONS, &secret, &request("retried", "a panda"))
            .await;
        assert_eq!(reply.header("x-lintel-attempts"), Some(attempts));
        assert_eq!(records(&gateway, &id, 1).await.1, (usd * 1e9) as i64);
    }
}

#[tokio::test]
async fn after_the_client_disconnects_what_was_sent_is_booked() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let mut request = request("core", "a panda [simulate slow 500ms]");
    request["n"] = 10.into();
    let ask = gateway.ask(GENERATIONS, &secret, &request);
    let begun = gateway.until(async || gateway.simulator.received().len() == 8);
    tokio::select! {
        _ = ask => panic!("there is no reply yet"),
        () = begun => {}
    }
    let (_, cost) = records(&gateway, &id, 1).await;
    assert_eq!(cost, billed(&gateway) * IMAGE);
    assert_eq!(billed(&gateway), 8, "as many as run at a time");
}
