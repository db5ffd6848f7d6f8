//! Anthropic's names of models, and their list in Anthropic's form.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::Value;

use super::message;
use crate::support::{ANY_KEY, Gateway, KEY, endpoints::MESSAGES, money::of};

const SETTINGS: &str = r#"
    [models.small]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    [models.older]
    target = "us.anthropic.claude-sonnet-4-6"
"#;

#[tokio::test]
async fn names_of_anthropic_lead_to_configured_models() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (name, target) in [
        ("claude-sonnet-5-5", "us.anthropic.claude-sonnet-5-5"),
        ("claude-sonnet-5-5[1m]", "us.anthropic.claude-sonnet-5-5"),
        (
            "claude-haiku-4-5",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        (
            "claude-haiku-4-5-20251001",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        ("sonnet", "us.anthropic.claude-sonnet-5-5"),
        ("haiku", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude[1m]", "us.anthropic.claude-sonnet-5-5"),
    ] {
        let reply = gateway.ask(MESSAGES, KEY, &of(name, message("Hi"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
        assert_eq!(reply.header("x-lintel-model"), Some(target), "{name}");
        assert_eq!(reply.json()["model"], name);
    }
    for name in ["opus", "claude-opus-5-5", "claude-nothing-9"] {
        let reply = gateway.ask(MESSAGES, KEY, &of(name, message("Hi"))).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn models_that_are_not_configured_need_a_key_for_raw_ids() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway
        .ask(MESSAGES, ANY_KEY, &of("claude-opus-5-5", message("Hi")))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        reply.header("x-lintel-model"),
        Some("us.anthropic.claude-opus-5-5")
    );
}

#[tokio::test]
async fn list_has_the_form_of_the_client() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let get = async |path: &str| {
        let request = gateway
            .request(Method::GET, path)
            .header("anthropic-version", "2023-06-01");
        gateway.send(request.body(Body::empty()).unwrap()).await
    };
    let list = get("/v1/models?limit=1000").await.json();
    let data = list["data"].as_array().unwrap();
    assert_eq!(list["has_more"], false);
    assert_eq!(list["first_id"], data[0]["id"]);
    assert_eq!(list["last_id"], data[data.len() - 1]["id"]);
    let claude = data.iter().find(|model| model["id"] == "claude").unwrap();
    assert_eq!(claude["type"], "model");
    assert_eq!(claude["max_input_tokens"], 1_000_000);
    assert!(claude["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(get("/v1/models/claude").await.json(), *claude);
    let missing = get("/v1/models/missing").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.json()["error"]["type"], "not_found_error");
}

#[tokio::test]
async fn check_of_claude_code_needs_no_key() {
    let gateway = Gateway::start().await;
    for path in ["/api/hello", "/"] {
        let request = http::Request::head(format!("http://{}{path}", gateway.data));
        let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
    }
    let request = http::Request::get(format!("http://{}/api/hello", gateway.data));
    let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.json().get("type"), None::<&Value>);
}
