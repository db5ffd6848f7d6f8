//! Reasoning that a model does not sign, or that only another API can carry, goes to the client in a seal of the gateway.

use http::StatusCode;
use serde_json::{Value, json};

use super::{events, joined, last_sent, message};
use crate::support::{ANY_KEY, Gateway, KEY, Reply, endpoints::MESSAGES};

const SETTINGS: &str = r#"
    [models.sonnet]
    target = "us.anthropic.claude-sonnet-4-6"
    [models.oss]
    target = "openai.gpt-oss-120b-1:0"
    [models.gpt]
    target = "us.openai.gpt-5.6-sol"
    api = "responses"
"#;

async fn start() -> Gateway {
    Gateway::start_with(SETTINGS).await
}

async fn send(gateway: &Gateway, request: &Value) -> Reply {
    let reply = gateway.ask(MESSAGES, ANY_KEY, request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply
}

fn thinking(model: &str) -> Value {
    let mut request = message("Think about it");
    request["model"] = model.into();
    request["max_tokens"] = 4000.into();
    request["thinking"] = json!({"type": "adaptive"});
    request["output_config"] = json!({"effort": "high"});
    request
}

/// Returns the blocks of an answer with reasoning, whole and streamed.
async fn answers(gateway: &Gateway, model: &str) -> [Value; 2] {
    let mut request = thinking(model);
    let whole = send(gateway, &request).await.json();
    request["stream"] = true.into();
    let streamed = joined(&events(&send(gateway, &request).await));
    [whole["content"].clone(), streamed["content"].clone()]
}

/// Sends the blocks back with the next question.
async fn continued(gateway: &Gateway, secret: &str, model: &str, blocks: &Value) -> Reply {
    let mut request = thinking(model);
    request["messages"] = json!([
        {"role": "user", "content": "Think about it"},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": "And now?"},
    ]);
    gateway.ask(MESSAGES, secret, &request).await
}

#[tokio::test]
async fn unsigned_thinking_is_signed_by_the_gateway() {
    let gateway = start().await;
    for blocks in answers(&gateway, "oss").await {
        assert_eq!(blocks[0]["type"], "thinking", "{blocks}");
        assert!(!blocks[0]["thinking"].as_str().unwrap().is_empty());
        assert!(
            blocks[0]["signature"].as_str().unwrap().starts_with("lt1."),
            "{blocks}"
        );
        let reply = continued(&gateway, ANY_KEY, "oss", &blocks).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("x-lintel-warnings"), None);
        // A model that signs its own thinking rejects that of others.
        let reply = continued(&gateway, ANY_KEY, "sonnet", &blocks).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert!(!last_sent(&gateway).to_string().contains("lt1."));
    }
}

#[tokio::test]
async fn reasoning_of_responses_returns_to_its_model_as_it_came() {
    let gateway = start().await;
    for blocks in answers(&gateway, "gpt").await {
        let sealed = blocks.as_array().unwrap().iter();
        let sealed: Vec<_> = sealed
            .filter(|block| block["type"] == "redacted_thinking")
            .collect();
        assert_eq!(sealed.len(), 1, "{blocks}");
        assert!(
            sealed[0]["data"].as_str().unwrap().starts_with("lt1."),
            "{blocks}"
        );
        let reply = continued(&gateway, ANY_KEY, "gpt", &blocks).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let body = last_sent(&gateway);
        let items = body["input"].as_array().unwrap().iter();
        let reasoning: Vec<_> = items.filter(|item| item["type"] == "reasoning").collect();
        assert_eq!(reasoning.len(), 1, "{body}");
        assert!(reasoning[0]["encrypted_content"].is_string());
    }
}

#[tokio::test]
async fn signature_of_claude_is_not_sealed() {
    let gateway = start().await;
    for blocks in answers(&gateway, "sonnet").await {
        assert_eq!(blocks[0]["type"], "thinking", "{blocks}");
        assert_eq!(blocks[0]["signature"], "c2ltdWxhdGVkIHNpZ25hdHVyZQ==");
    }
}

#[tokio::test]
async fn seal_of_another_key_is_dropped_with_a_warning() {
    let gateway = start().await;
    let [blocks, _] = answers(&gateway, "gpt").await;
    let mut flipped = blocks.clone();
    for block in flipped.as_array_mut().unwrap() {
        if let Some(data) = block["data"].as_str() {
            let other = if data.as_bytes()[20] == b'A' {
                "B"
            } else {
                "A"
            };
            block["data"] = format!("{}{other}{}", &data[..20], &data[21..]).into();
        }
    }
    for (secret, blocks) in [(KEY, &blocks), (ANY_KEY, &flipped)] {
        let reply = continued(&gateway, secret, "gpt", blocks).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(warnings.contains("reasoning_dropped"), "{warnings}");
        assert!(
            !last_sent(&gateway)
                .to_string()
                .contains("encrypted_content\":\"")
        );
    }
}

#[tokio::test]
async fn strict_gateway_rejects_what_it_would_drop() {
    let strict = "reasoning = \"strict\"\nhosted_tools = \"refuse\"\n";
    let gateway = Gateway::start_with(&format!("{strict}{SETTINGS}")).await;
    let blocks =
        json!([{"type": "redacted_thinking", "data": "lt1.AAAA"}, {"type": "text", "text": "Yes"}]);
    let reply = continued(&gateway, ANY_KEY, "sonnet", &blocks).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text().contains("did not seal"), "{}", reply.text());
    let mut request = thinking("sonnet");
    request["tools"] = json!([
        {"name": "f", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"},
    ]);
    let reply = gateway.ask(MESSAGES, ANY_KEY, &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text().contains("tools[1].type"), "{}", reply.text());

    let reasoning = json!({"type": "reasoning", "summary": [], "encrypted_content": "gAAAAB"});
    let request =
        json!({"model": "sonnet", "input": [reasoning, {"role": "user", "content": "Hi"}]});
    let reply = gateway.ask("/v1/responses", ANY_KEY, &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "invalid_encrypted_content");
    let tools = json!([{"type": "function", "name": "f"}, {"type": "web_search"}]);
    let request = json!({"model": "sonnet", "input": "Hi", "tools": tools});
    let reply = gateway.ask("/v1/responses", ANY_KEY, &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["param"], "tools[1].type");
}
