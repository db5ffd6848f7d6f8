//! Budgets: reservations, settlements, rejections, overrides and alerts.

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    ANY_KEY, Gateway, Reply,
    money::{SETTINGS, booked, budget, key, nano, of, standing},
    streamed, user,
};

fn assert_spent(reply: &Reply) -> String {
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.text()
    );
    let error = reply.error();
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("insufficient_quota"), &json!("insufficient_quota"))
    );
    assert_eq!(
        reply.header("x-should-retry"),
        Some("false"),
        "the SDKs must not retry"
    );
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_actual_cost_is_settled_in_every_scope() {
    let more = r#"
        [teams.search]
        budget = [{ usd = 5, per = "month" }, { usd = 1, per = "day" }]
        [models.cheap]
        target = "amazon.nova-lite-v1:0"
        price = { input = 2.0, output = 10.0 }
        budget = { usd = 2, per = "week" }
        [[budget]]
        usd = 7
        per = "hour"
        [defaults]
        unpriced_models = "allow"
    "#;
    let gateway = Gateway::start_with(
        &(SETTINGS.replace("[budget]\n    alert_request_usd = 0.001", "") + more),
    )
    .await;
    let settings = json!({"team": "search", "budget": {"usd": 0.5, "per": "day"}, "end_users": {"budget": {"usd": 0.1, "per": "day"}}});
    let (id, secret) = key(&gateway, settings).await;
    let mut request = of("cheap", user("one two three"));
    request["user"] = "zoe@example.com".into();
    assert_eq!(
        gateway.as_key(&secret, &request).await.json()["usage"]["cost"],
        0.000056
    );
    let (_, all) = gateway
        .administer(Method::GET, "/admin/budgets", &Value::Null)
        .await;
    let settled: Vec<(&str, &str)> = all["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["id"].as_str().unwrap(),
                one["settled_usd"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(settled.len(), 6, "{settled:?}");
    for id in [
        "gateway/hour",
        "model:cheap/week",
        "team:search/day",
        "team:search/month",
        &format!("key:{id}/day"),
    ] {
        assert!(settled.contains(&(id, "0.000056")), "{id}: {settled:?}");
    }
    let of_user = settled
        .iter()
        .find(|(id, _)| id.contains("/user:"))
        .unwrap();
    assert!(
        of_user.1 == "0.000056" && !of_user.0.contains("zoe"),
        "{of_user:?}"
    );
    let (_, metrics) = gateway.admin("/metrics").await;
    assert!(
        metrics.contains(r#"lintel_budget_settled_usd{budget_id="model:cheap/week"} 0.000056"#),
        "{metrics}"
    );
    assert!(!metrics.contains("/user:"), "end users are not labels");
}

#[tokio::test]
async fn a_spent_budget_rejects_with_the_max_tokens_that_would_fit() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(0.0001)).await;
    let rejected = gateway.as_key(&secret, &of("priced", user("Hi"))).await;
    let message = assert_spent(&rejected);
    assert!(
        message.contains(&format!(
            "'key:{id}' is $0.0001 per day, of which $0 are spent"
        )),
        "{message}"
    );
    assert!(
        message.contains("which is less than the input may cost"),
        "{message}"
    );
    assert!(gateway.simulator.received().is_empty(), "nothing was sent");
    let (_, secret) = key(&gateway, budget(0.0015)).await;
    let rejected = gateway.as_key(&secret, &of("priced", user("Hi"))).await;
    let message = assert_spent(&rejected);
    let fits: u64 = message
        .split("max_tokens of ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut smaller = of("priced", user("Hi"));
    smaller["max_tokens"] = fits.into();
    assert_eq!(
        gateway.as_key(&secret, &smaller).await.status,
        StatusCode::OK,
        "the suggested max_tokens fits"
    );
    smaller["max_tokens"] = (fits + 10).into();
    assert_spent(&gateway.as_key(&secret, &smaller).await);
}

#[tokio::test]
async fn a_budget_whose_money_is_only_reserved_asks_the_client_to_retry() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(0.0025)).await;
    let open = gateway
        .open_as(&secret, &of("priced", streamed("[simulate stall]")))
        .await;
    let rejected = gateway.as_key(&secret, &of("priced", user("Hi"))).await;
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rejected.error()["code"], "rate_limit_exceeded");
    assert_eq!(
        (
            rejected.header("retry-after-ms"),
            rejected.header("x-should-retry")
        ),
        (Some("500"), None)
    );
    drop(open);
    let (_, reserved) = standing(&gateway, &id).await;
    assert_ne!(
        reserved, "0",
        "a stalled stream is still read for its usage"
    );
}

#[tokio::test]
async fn a_call_waits_for_reserved_money_if_the_budget_allows() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(
        &gateway,
        json!({"budget": {"usd": 0.0025, "per": "day", "wait": "10s"}}),
    )
    .await;
    let slow = of("priced", user("[simulate slow 100ms]"));
    let calls = (0..4).map(|_| gateway.as_key(&secret, &slow));
    let replies = join_all(calls).await;
    assert!(
        replies.iter().all(|reply| reply.status == StatusCode::OK),
        "calls run one after the other"
    );
    let (settled, reserved) = standing(&gateway, &id).await;
    assert_eq!(
        (nano(&settled), reserved.as_str()),
        (4 * nano("0.000056"), "0")
    );
}

#[tokio::test]
async fn a_fitting_budget_lowers_max_tokens_to_what_is_left() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, secret) = key(
        &gateway,
        json!({"budget": {"usd": 0.0015, "per": "day", "fit": true}}),
    )
    .await;
    let mut request = of("priced", user("[simulate words 90]"));
    request["max_tokens"] = 100.into();
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("what is left of the budget")
    );
    let body: Value = serde_json::from_slice(&gateway.sent().body).unwrap();
    let sent = body["inferenceConfig"]["maxTokens"].as_u64().unwrap();
    assert!((16..100).contains(&sent), "{sent}");
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_sliced_budget_ends_a_stream_when_it_runs_out() {
    let gateway = Gateway::start_with(SETTINGS).await;
    // The input and 2000 tokens fit, 4000 do not.
    let (id, secret) = key(
        &gateway,
        json!({"budget": {"usd": 0.03, "per": "day", "mode": "sliced"}}),
    )
    .await;
    let mut request = of("priced", streamed("[simulate words 4500]"));
    request["max_tokens"] = 5000.into();
    request["stream_options"] = json!({"include_usage": true});
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(
        reply.status,
        StatusCode::OK,
        "less is reserved than the call may cost"
    );
    let events = reply.events();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    assert!(reply.text().contains(r#""finish_reason":"length""#));
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(usage["usage"]["estimated"], true, "{usage}");
    let booked = booked(&gateway, &id).await;
    assert_eq!((booked.len(), booked[0].0.as_str()), (1, "estimated"));
    assert!(
        nano(&booked[0].2) <= nano("0.03") + 2000 * 10_000,
        "at most one slice over the limit: {booked:?}"
    );
    assert!(
        nano(&booked[0].2) >= nano("0.02"),
        "most of the budget is used: {booked:?}"
    );
    // A strict budget rejects the same request at once.
    let (_, strict) = key(&gateway, budget(0.03)).await;
    assert_spent(&gateway.as_key(&strict, &request).await);
}

#[tokio::test]
async fn a_model_without_a_price_is_rejected_under_a_budget() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, secret) = key(&gateway, budget(1.0)).await;
    let rejected = gateway.as_key(&secret, &of("unpriced", user("Hi"))).await;
    assert_eq!(
        (rejected.status, rejected.error()["code"].clone()),
        (StatusCode::FORBIDDEN, json!("model_unpriced"))
    );
    assert_eq!(
        gateway.chat(&of("unpriced", user("Hi"))).await.status,
        StatusCode::OK,
        "without a budget it is served"
    );
    let allowing = format!("{SETTINGS}\n[defaults]\nunpriced_models = \"allow\"");
    let gateway = Gateway::start_with(&allowing).await;
    let (_, secret) = key(&gateway, budget(1.0)).await;
    assert_eq!(
        gateway
            .as_key(&secret, &of("unpriced", user("Hi")))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn max_cost_usd_limits_a_request() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("priced", user("Hi"));
    for (limit, status) in [
        (json!(0.0001), 400),
        (json!(0.01), 200),
        (json!("x"), 400),
        (json!(-1), 400),
    ] {
        request["max_cost_usd"] = limit.clone();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status.as_u16(), status, "{limit}: {}", reply.text());
    }
    assert_eq!(gateway.simulator.received().len(), 1);
}

#[tokio::test]
async fn an_override_admits_calls_that_the_limit_rejects() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(0.0001)).await;
    let request = of("priced", user("Hi"));
    assert_spent(&gateway.as_key(&secret, &request).await);
    let limit_override = |budget: &str, reason: &str| json!({"budget": budget, "usd": "0.5", "for": "1h", "reason": reason});
    let id = format!("key:{id}/day");
    for (body, expected) in [
        (limit_override("key:nobody/day", "x"), 404),
        (limit_override(&id, " "), 400),
        (limit_override(&id, "launch day"), 200),
    ] {
        let (status, _) = gateway
            .administer(Method::POST, "/admin/budgets/override", &body)
            .await;
        assert_eq!(status.as_u16(), expected, "{body}");
    }
    assert_eq!(
        gateway.as_key(&secret, &request).await.status,
        StatusCode::OK
    );
    let (_, audit) = gateway
        .administer(Method::GET, "/admin/audit?limit=1", &Value::Null)
        .await;
    assert_eq!(
        (&audit["audit"][0]["subject"], &audit["audit"][0]["reason"]),
        (&json!(id), &json!("launch day"))
    );
}

#[tokio::test]
async fn an_expensive_request_is_counted() {
    // Metrics are shared by all gateways of the process, so the model is this test's own.
    let gateway = Gateway::start_with(&SETTINGS.replace("models.priced", "models.expensive")).await;
    let mut request = of("expensive", user("[simulate words 150]"));
    request["max_tokens"] = 200.into();
    gateway.chat(&request).await;
    let (_, metrics) = gateway.admin("/metrics").await;
    assert!(
        metrics.contains(r#"lintel_expensive_requests_total{model="expensive"} 1"#),
        "{metrics}"
    );
    assert_eq!(
        gateway
            .as_key(ANY_KEY, &of("expensive", user("Hi")))
            .await
            .status,
        StatusCode::OK
    );
}

/// A raw id was answered past the limits, the budget and the guardrail of the model that it leads to.
#[tokio::test]
async fn raw_ids_do_not_evade_the_settings_of_a_configured_model() {
    let more = r#"
        [models.capped]
        target = "us.amazon.nova-pro-v1:0"
        budget = { usd = 0.000001, per = "day" }
        [models.guarded]
        target = "amazon.nova-micro-v1:0"
        guardrail = { identifier = "abc", version = "1" }
        price = { input = 7, output = 9 }
        [models.limited]
        target = "anthropic.claude-haiku-4-5-20251001-v1:0"
        limits = { max_request_tokens = 1 }
    "#;
    let gateway = Gateway::start_with(&(SETTINGS.to_owned() + more)).await;
    for id in ["amazon.nova-pro-v1:0", "us.amazon.nova-pro-v1:0"] {
        assert_spent(&gateway.any(&of(id, user("Hi"))).await);
    }
    for id in ["amazon.nova-micro-v1:0", "us.amazon.nova-micro-v1:0"] {
        let reply = gateway.any(&of(id, user("contraband"))).await.json();
        let finish_reason = &reply["choices"][0]["finish_reason"];
        assert_eq!(finish_reason, "content_filter", "{id}: {reply}");
    }
    let id = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
    let reply = gateway.any(&of(id, user("one two three"))).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    let free = gateway
        .any(&of("amazon.nova-2-lite-v1:0", user("Hi")))
        .await;
    assert_eq!(free.status, StatusCode::OK);
    let spent = booked(&gateway, "any").await;
    assert!(!spent.is_empty(), "{spent:?}");
}
