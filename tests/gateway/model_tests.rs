//! One paid call of a model on request of an operator, and the health of models.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode};
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tower::ServiceExt;

use crate::support::{
    Gateway,
    money::{nano, of},
    serve, simulator, user,
};

/// Prices of $2 and $10 per million tokens.
const SETTINGS: &str = r#"
    [defaults]
    unpriced_models = "allow"
    [admin.tokens.reader]
    token_env = "READER"
    [budget]
    usd = 0.003
    per = "day"
    [models.priced]
    target = "amazon.nova-lite-v1:0"
    price = { input = 2.0, output = 10.0 }
    limits = { requests_per_minute = 60, burst = 10 }
    [models.alias]
    target = "priced"
    [models.vectors]
    target = "amazon.titan-embed-text-v2:0"
    [models.ranks]
    target = "cohere.rerank-v3-5:0"
    [models.images]
    target = "amazon.nova-canvas-v1:0"
"#;

const READER: &str = "reader-token-of-the-model-tests-0123";

async fn start() -> Gateway {
    let simulator = simulator();
    let address = serve(simulator.router()).await;
    let aws = format!("endpoint_url = \"http://{address}\"");
    Gateway::start_in(simulator, &aws, SETTINGS, &[("READER", READER)]).await
}

async fn test(gateway: &Gateway, name: &str) -> (StatusCode, Value) {
    let path = format!("/admin/models/{name}/test");
    gateway.administer(Method::POST, &path, &Value::Null).await
}

/// The health of a model in the list.
async fn health(gateway: &Gateway, name: &str) -> Value {
    let (status, listed) = gateway
        .administer(Method::GET, "/admin/models", &Value::Null)
        .await;
    assert_eq!(status, StatusCode::OK);
    let models = listed["models"].as_array().unwrap();
    let found = models.iter().find(|model| model["name"] == name);
    found.expect(name)["health"].clone()
}

#[tokio::test]
async fn test_call_says_what_served_it_and_is_booked_under_its_own_key() {
    let gateway = start().await;
    let (status, outcome) = test(&gateway, "alias").await;
    assert_eq!(status, StatusCode::OK, "{outcome}");
    assert_eq!(outcome["ok"], true, "{outcome}");
    assert_eq!(outcome["model"], "priced");
    assert_eq!(outcome["served_model"], "amazon.nova-lite-v1:0");
    assert_eq!(outcome["region"], "us-east-1");
    assert_eq!(outcome["route"], "converse");
    assert_eq!(outcome["attempts"], 1);
    assert_eq!(outcome["error"], json!(null));
    assert!(outcome["latency_ms"].is_u64());
    let cost = outcome["cost_usd"].as_str().unwrap();
    assert!(nano(cost) > 0);
    let sent = &gateway.bodies()[0];
    assert_eq!(sent["inferenceConfig"]["maxTokens"], 16);
    let (_, usage) = gateway
        .administer(Method::GET, "/admin/usage?by=key&since=1h", &Value::Null)
        .await;
    let rows = usage["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["key"] == "admin:test").unwrap();
    assert_eq!(
        (&row["requests"], row["cost_usd"].as_str()),
        (&json!(1), Some(cost))
    );
}

#[tokio::test]
async fn models_for_vectors_and_ranking_are_tested_and_those_for_images_are_not() {
    let gateway = start().await;
    for name in ["vectors", "ranks"] {
        let (_, outcome) = test(&gateway, name).await;
        assert_eq!(outcome["ok"], true, "{outcome}");
        assert!(nano(outcome["cost_usd"].as_str().unwrap()) > 0, "{outcome}");
    }
    let (status, _) = test(&gateway, "images").await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, error) = test(&gateway, "nobody").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("'nobody'"), "{message}");
}

#[tokio::test]
async fn failed_test_call_reports_the_error() {
    let gateway = start().await;
    let denied = json!({"message": "You don't have access to the model."});
    let mut reply = ScriptedReply::json(403, denied.to_string());
    let kind = ("x-amzn-errortype", "AccessDeniedException");
    reply.headers.push((kind.0.into(), kind.1.into()));
    gateway.simulator.script(reply);
    let (status, outcome) = test(&gateway, "priced").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["code"], "upstream_access_denied");
    assert_eq!(outcome["cost_usd"], "0", "{outcome}");
    assert_eq!(health(&gateway, "priced").await["failed"], 1);
}

#[tokio::test]
async fn test_call_needs_the_right_to_write_and_stays_within_budgets() {
    let gateway = start().await;
    let request = Request::post(format!("http://{}/admin/models/priced/test", gateway.admin))
        .header("authorization", format!("Bearer {READER}"));
    let response = gateway
        .client
        .request(request.body(axum::body::Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(gateway.simulator.received().is_empty(), "nothing was sent");
    // The budget of the gateway admits a few.
    let mut last = Value::Null;
    for _ in 0..60 {
        last = test(&gateway, "priced").await.1;
        if last["ok"] == false {
            break;
        }
    }
    let code = last["error"]["code"].as_str().unwrap();
    assert!(
        ["insufficient_quota", "rate_limit_exceeded"].contains(&code),
        "{last}"
    );
}

#[tokio::test]
async fn health_of_a_model_comes_from_the_calls_of_clients() {
    let gateway = start().await;
    let unknown = json!({"calls": 0, "failed": 0, "last_success": null, "last_failure": null});
    assert_eq!(health(&gateway, "hasty").await, unknown);
    for text in ["Hi", "[simulate throttle]", "[simulate cut]"] {
        gateway.chat(&of("strict", user(text))).await;
    }
    let mut invalid = of("strict", user("Hi"));
    invalid["n"] = 1000.into();
    assert_eq!(gateway.chat(&invalid).await.status, StatusCode::BAD_REQUEST);
    let health = health(&gateway, "strict").await;
    assert_eq!(
        (&health["calls"], &health["failed"]),
        (&json!(3), &json!(2))
    );
    assert!(health["last_success"].is_string());
    assert_eq!(health["last_failure"]["code"], "upstream_truncated");
}

#[tokio::test]
async fn test_call_is_in_the_audit_log() {
    let gateway = start().await;
    test(&gateway, "alias").await;
    let (status, audit) = gateway
        .administer(Method::GET, "/admin/audit", &Value::Null)
        .await;
    assert_eq!(status, StatusCode::OK);
    let entry = &audit["audit"][0];
    assert_eq!(
        (&entry["action"], &entry["subject"]),
        (&json!("model.test"), &json!("model:priced"))
    );
    assert_eq!(entry["who"], "admin@127.0.0.1", "{entry}");
}

/// It was settled at the most that it could have cost.
#[tokio::test]
async fn test_call_is_settled_by_its_usage_if_the_administrator_disconnects() {
    let simulator = simulator();
    // Bedrock answers when the administrator has left.
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (inner, begins, opens) = (simulator.router(), begun.clone(), gate.clone());
    let gated = Router::new().fallback(move |request: Request<Body>| {
        let (inner, begins, opens) = (inner.clone(), begins.clone(), opens.clone());
        async move {
            begins.notify_one();
            let _open = opens.acquire().await.unwrap();
            inner.oneshot(request).await
        }
    });
    let aws = format!("endpoint_url = \"http://{}\"", serve(gated).await);
    let gateway = Gateway::start_in(simulator, &aws, SETTINGS, &[("READER", READER)]).await;
    let call = test(&gateway, "priced");
    tokio::select! {
        () = begun.notified() => {}
        (_, outcome) = call => panic!("{outcome}"),
    }
    gate.add_permits(100);
    let rows = async || {
        let path = "/admin/usage?by=key,kind&since=1h";
        let report = gateway.administer(Method::GET, path, &Value::Null).await.1;
        report["rows"].clone()
    };
    gateway.until(async || rows().await != json!([])).await;
    let rows = rows().await;
    assert_eq!(rows[0]["key"], "admin:test", "{rows}");
    assert_eq!(rows[0]["kind"], "actual", "{rows}");
}
