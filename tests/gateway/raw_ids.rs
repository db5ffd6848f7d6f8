//! Raw Bedrock IDs of configured models, which have the settings of those models.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Gateway, Reply,
    money::{key, of},
    user,
};

const PROFILE: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/xyz";
const LOST: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/lost";
const HAIKU: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";

/// `one` and `two` share a target, and so do `cheap` and its price.
const SETTINGS: &str = r#"
    [models.guarded]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    guardrail = { identifier = "abc123", version = "1" }
    limits = { max_request_tokens = 5000 }
    price = { input = 2.0, output = 10.0 }
    [models.two]
    target = "us.amazon.nova-pro-v1:0"
    guardrail = { identifier = "second", version = "1" }
    [models.one]
    target = "us.amazon.nova-pro-v1:0"
    guardrail = { identifier = "first", version = "1" }
    [models.listed]
    target = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    max_tokens = 77
"#;

async fn start() -> Gateway {
    let gateway = Gateway::start_with(SETTINGS).await;
    let foundation = format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}");
    gateway.simulator.describe(PROFILE, &foundation);
    gateway
}

/// The guardrail in the last request to a model.
fn guardrail(gateway: &Gateway) -> Value {
    let received = gateway.simulator.received();
    let last = received.iter().rfind(|one| one.path.contains("converse"));
    let body: Value = serde_json::from_slice(&last.unwrap().body).unwrap();
    body["guardrailConfig"]["guardrailIdentifier"].clone()
}

fn assert_ok(reply: &Reply) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

/// Before, only the first of these spellings had a guardrail, a limit and the price of $2 and $10.
#[tokio::test]
async fn every_spelling_of_a_configured_model_has_its_settings() {
    let gateway = start().await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0";
    let other = format!("global.{HAIKU}");
    let longer = format!("{HAIKU}:200k");
    let spellings = [
        "guarded",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        HAIKU,
        &other,
        &longer,
        // The catalog has these spellings too, and their price, but the settings did not apply.
        "us.anthropic.claude-haiku-4-5",
        "anthropic.claude-haiku-4-5-v1:0",
        arn,
        PROFILE,
    ];
    for id in spellings {
        let reply = gateway.any(&of(id, user("Hi"))).await;
        assert_ok(&reply);
        assert_eq!(guardrail(&gateway), "abc123", "{id}");
        let usage = &reply.json()["usage"];
        let tokens = |name: &str| usage[name].as_f64().unwrap();
        // The guardrail bills a unit each for the prompt and for the answer.
        let guardrail = 2.0 * 0.000_74;
        let cost = tokens("prompt_tokens") * 2e-6 + tokens("completion_tokens") * 1e-5 + guardrail;
        assert!((tokens("cost") - cost).abs() < 1e-9, "{id}: {usage}");
        let mut large = of(id, user("Hi"));
        large["max_tokens"] = 10_000.into();
        let error = gateway.any(&large).await.error();
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("'model:guarded'"),
            "{id}: {error}"
        );
    }
    let sent = gateway.simulator.received();
    let called = |id: &str| {
        sent.iter().any(|one| {
            one.path
                .contains(&id.replace(':', "%3A").replace('/', "%2F"))
        })
    };
    assert!(
        called(&other) && called("inference-profile%2Fxyz"),
        "the id itself is called: {:?}",
        sent.iter().map(|one| one.path.clone()).collect::<Vec<_>>()
    );
}

/// The price was the one of the profile in the catalogue, and it stays so, because the operator set none.
#[tokio::test]
async fn a_model_without_its_own_price_is_billed_at_the_price_of_the_profile() {
    let gateway = start().await;
    let mut costs = Vec::new();
    for id in [
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ] {
        let reply = gateway.any(&of(id, user("Hi"))).await;
        assert_ok(&reply);
        let received = gateway.simulator.received();
        let body: Value = serde_json::from_slice(&received.last().unwrap().body).unwrap();
        assert_eq!(body["inferenceConfig"]["maxTokens"], 77);
        costs.push(reply.json()["usage"]["cost"].as_f64().unwrap());
    }
    assert!(costs[0] > costs[1], "{costs:?}");
}

/// Before, `*` included every raw id.
#[tokio::test]
async fn wildcards_include_raw_ids_only_with_raw() {
    let gateway = start().await;
    let unconfigured = "us.amazon.nova-premier-v1:0";
    for (settings, id, status) in [
        (
            json!({"models": ["*"]}),
            unconfigured,
            StatusCode::NOT_FOUND,
        ),
        (json!({"models": ["*"]}), HAIKU, StatusCode::NOT_FOUND),
        (
            json!({"models": ["?*"]}),
            unconfigured,
            StatusCode::NOT_FOUND,
        ),
        (json!({"raw": false}), unconfigured, StatusCode::NOT_FOUND),
        (
            json!({"models": ["*"], "raw": true}),
            unconfigured,
            StatusCode::OK,
        ),
        (json!({"raw": true}), unconfigured, StatusCode::OK),
        (
            json!({"models": ["us.amazon.*"]}),
            unconfigured,
            StatusCode::OK,
        ),
        (
            json!({"models": ["nova"], "raw": true}),
            unconfigured,
            StatusCode::NOT_FOUND,
        ),
        (json!({"models": ["*"]}), "guarded", StatusCode::OK),
    ] {
        let (_, secret) = key(&gateway, settings.clone()).await;
        let reply = gateway.as_key(&secret, &of(id, user("Hi"))).await;
        assert_eq!(reply.status, status, "{settings} {id}: {}", reply.text());
        let request = http::Request::builder()
            .method(Method::GET)
            .uri(format!("http://{}/v1/models/{id}", gateway.data))
            .header("authorization", format!("Bearer {secret}"));
        let shown = gateway
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await;
        assert_eq!(shown.status, status, "{settings} {id}");
    }
}

/// Before, the call had no guardrail.
#[tokio::test]
async fn an_ambiguous_id_has_the_settings_of_a_model_that_the_key_may_use() {
    let gateway = start().await;
    let id = "us.amazon.nova-pro-v1:0";
    for (models, expected) in [
        (json!(["one", "two", "us.amazon.*"]), Some("first")),
        (json!(["two", "us.amazon.*"]), Some("second")),
        (json!(["us.amazon.*"]), None),
    ] {
        let (_, secret) = key(&gateway, json!({"models": models})).await;
        let reply = gateway.as_key(&secret, &of(id, user("Hi"))).await;
        match expected {
            Some(expected) => {
                assert_ok(&reply);
                assert_eq!(guardrail(&gateway), expected, "{models}");
            }
            None => {
                assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text());
                assert_eq!(reply.error()["code"], "model_not_allowed");
            }
        }
    }
}

/// Before, an ARN whose model is unknown had no settings, so that it could stand for a guarded model.
#[tokio::test]
async fn an_arn_of_an_unknown_model_is_rejected_if_a_configured_model_has_rules() {
    let gateway = start().await;
    let prompt = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1";
    for id in [LOST, prompt] {
        let reply = gateway.any(&of(id, user("Hi"))).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text());
    }
    let imported = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl";
    assert_ok(&gateway.any(&of(imported, user("Hi"))).await);
    let open = Gateway::start().await;
    assert_ok(&open.any(&of(LOST, user("Hi"))).await);
}

/// Before, the raw id had no guardrail.
#[tokio::test]
async fn a_configured_arn_governs_the_ids_of_the_model_behind_it() {
    let settings = format!(
        "[models.behind]\ntarget = \"{PROFILE}\"\nguardrail = {{ identifier = \"abc123\", version = \"1\" }}"
    );
    let gateway = Gateway::start_with(&settings).await;
    let unclear = gateway.any(&of(HAIKU, user("Hi"))).await;
    assert_eq!(unclear.status, StatusCode::FORBIDDEN, "{}", unclear.text());
    let gateway = Gateway::start_with(&settings).await;
    let foundation = format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}");
    gateway.simulator.describe(PROFILE, &foundation);
    let reply = gateway.any(&of(HAIKU, user("Hi"))).await;
    assert_ok(&reply);
    assert_eq!(guardrail(&gateway), "abc123");
    assert!(reply.json()["usage"]["cost"].as_f64().unwrap() > 0.0);
}
