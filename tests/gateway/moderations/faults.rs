//! Guardrails that hang, or that send replies that cannot be true.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{GUARDED, UNIT, moderate, results};
use crate::support::{
    Gateway, Reply,
    endpoints::MODERATIONS,
    money::{booked, budget, key, nano, standing},
};

/// Sends one unit of text with a key that has a budget, and returns the kind and the cost of its record.
async fn record(gateway: &Gateway, input: &str) -> (Reply, String, i64) {
    let (id, secret) = key(gateway, budget(1.0)).await;
    let request = json!({"input": input});
    let reply = gateway.ask(MODERATIONS, &secret, &request).await;
    gateway
        .until(async || {
            standing(gateway, &id).await.1 == "0" && !booked(gateway, &id).await.is_empty()
        })
        .await;
    let rows = booked(gateway, &id).await;
    let [(kind, 1, cost)] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!(&standing(gateway, &id).await.0, cost);
    (reply, kind.clone(), nano(cost))
}

/// The call hung for 300 seconds, and was booked as `actual`.
#[tokio::test]
async fn guardrail_that_hangs_is_bounded_by_the_configured_timeout_and_presumed() {
    for more in ["", GUARDED] {
        let settings = format!("{more}[defaults]\ntimeout = \"200ms\"\n");
        let gateway = Gateway::start_with(&settings).await;
        let (reply, kind, cost) = record(&gateway, "[simulate apply hang]").await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(reply.error()["code"], "guardrail_timeout");
        assert!(kind == "presumed" && cost >= UNIT, "{kind} {cost}");
    }
}

/// The simulator bills what it fails to report.
#[tokio::test]
async fn failure_without_reported_units_is_presumed() {
    let gateway = Gateway::start().await;
    let (reply, kind, cost) = record(&gateway, "[simulate apply internal]").await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!((kind.as_str(), cost), ("presumed", UNIT));
}

fn checked(categories: &[&str], units: u64) -> String {
    let result = |category: &&str| json!({"category": category, "severityScore": 0.0});
    let results: Vec<Value> = categories.iter().map(result).collect();
    json!({"results": {"contentFilter": {"results": results}}, "usage": {"contentFilter": {"textUnits": units}}})
        .to_string()
}

const CATEGORIES: [&str; 5] = ["INSULTS", "HATE", "MISCONDUCT", "SEXUAL", "VIOLENCE"];

/// A reply without VIOLENCE said that nothing was violent.
#[tokio::test]
async fn reply_without_a_requested_category_is_a_502() {
    let gateway = Gateway::start().await;
    for categories in [&CATEGORIES[..4], &CATEGORIES[1..], &[]] {
        gateway
            .simulator
            .script(ScriptedReply::json(200, checked(categories, 1)));
        let (reply, kind, cost) = record(&gateway, "calm").await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{}", reply.text());
        assert_eq!(reply.error()["code"], "upstream_malformed");
        assert_eq!((kind.as_str(), cost), ("presumed", UNIT));
    }
    gateway
        .simulator
        .script(ScriptedReply::json(200, checked(&CATEGORIES, 1)));
    assert_eq!(
        results(&moderate(&gateway, "calm").await)[0]["flagged"],
        false
    );
}

/// A million billion units locked the key for the day.
#[tokio::test]
async fn units_that_the_input_cannot_have_are_booked_at_the_most_that_it_can_cost() {
    const UNITS: u64 = 1_000_000_000_000_000;
    let applied = json!({"action": "NONE", "outputs": [], "assessments": [], "usage": {"contentPolicyUnits": UNITS}});
    for (settings, body) in [
        ("", checked(&CATEGORIES, UNITS)),
        (GUARDED, applied.to_string()),
    ] {
        let gateway = Gateway::start_with(settings).await;
        gateway.simulator.script(ScriptedReply::json(200, body));
        let (reply, kind, cost) = record(&gateway, "calm").await;
        assert_eq!(results(&reply).len(), 1);
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(warnings.starts_with("usage.cost: "), "{warnings}");
        assert_eq!(nano(reply.header("x-lintel-cost-usd").unwrap()), cost);
        assert_eq!(kind, "presumed");
        assert!((UNIT..100 * UNIT).contains(&cost), "{cost}");
    }
}

/// A reply of more than 4 MiB was requested again.
#[tokio::test]
async fn reply_that_is_too_large_is_requested_once_and_says_so() {
    let gateway =
        Gateway::start_with("[moderations]\n[models.unused]\ntarget = \"claude\"\n").await;
    let body = format!("{{\"padding\": \"{}\"}}", "x".repeat(5 << 20));
    gateway.simulator.script(ScriptedReply::json(200, body));
    let (reply, kind, _) = record(&gateway, "calm").await;
    assert_eq!(reply.error()["code"], "upstream_too_large");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(
        (gateway.simulator.received().len(), kind.as_str()),
        (1, "presumed")
    );
}
