//! Helpers for tests of budgets.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Gateway;

/// Prices of $2 and $10 per million tokens: an input token costs 2000 nano-dollars, an output token 10,000.
pub const SETTINGS: &str = r#"
    [budget]
    alert_request_usd = 0.001
    [models.priced]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    [models.again2]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.unpriced]
    target = "somebody.new-v1:0"
"#;

/// Creates a virtual key with `settings`, and returns its id and its secret.
pub async fn key(gateway: &Gateway, settings: Value) -> (String, String) {
    let mut body = settings;
    body["name"] = "test".into();
    let (status, made) = gateway.administer(Method::POST, "/admin/keys", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    (
        made["key"]["id"].as_str().unwrap().to_owned(),
        made["secret"].as_str().unwrap().to_owned(),
    )
}

/// Settings of a key with a daily budget.
pub fn budget(usd: f64) -> Value {
    json!({"budget": {"usd": usd, "per": "day"}})
}

/// Sets the model of a request.
pub fn of(model: &str, mut request: Value) -> Value {
    request["model"] = model.into();
    request
}

/// Returns the settled and the reserved amount of a key's first budget, in US dollars.
pub async fn standing(gateway: &Gateway, id: &str) -> (String, String) {
    let (_, shown) = gateway
        .administer(Method::GET, &format!("/admin/keys/{id}"), &Value::Null)
        .await;
    let text = |member: &str| shown["budgets"][0][member].as_str().unwrap().to_owned();
    (text("settled_usd"), text("reserved_usd"))
}

/// Returns the ledger's totals of a key by certainty: `(kind, requests, cost_usd)`.
pub async fn booked(gateway: &Gateway, id: &str) -> Vec<(String, i64, String)> {
    let (_, usage) = gateway
        .administer(
            Method::GET,
            "/admin/usage?by=key,kind&since=1h",
            &Value::Null,
        )
        .await;
    let rows = usage["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["key"] == id);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| {
        (
            text(&row["kind"]),
            row["requests"].as_i64().unwrap(),
            text(&row["cost_usd"]),
        )
    })
    .collect()
}

/// Parses US dollars to nano-dollars.
pub fn nano(usd: &str) -> i64 {
    let (whole, fraction) = usd.split_once('.').unwrap_or((usd, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}
