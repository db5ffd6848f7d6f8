//! Thinking that is valid only after what preceded it. Passages of Knowledge Bases are other ones in the next request.

use http::StatusCode;
use serde_json::{Value, json};

use super::last_sent;
use crate::support::{Gateway, Reply, endpoints::MESSAGES, sha256};

const SETTINGS: &str = r#"
    [knowledge_bases.docs]
    id = "LINTELDOCS"
    [models.bound]
    target = "us.anthropic.claude-sonnet-5-5"
    [models.bound-converse]
    target = "us.anthropic.claude-sonnet-5-5"
    api = "converse"
    [models.free]
    target = "us.anthropic.claude-sonnet-4-6"
"#;

async fn start() -> Gateway {
    let key = format!(
        "[keys.kb]\nsha256 = \"{}\"\nknowledge_bases = [\"docs\"]\n",
        sha256("sk-test-kb")
    );
    Gateway::start_with(&format!("{SETTINGS}{key}")).await
}

/// Sends a second question after an answer with thinking.
async fn ask(gateway: &Gateway, model: &str, kb: bool) -> Reply {
    let mut request = json!({
        "model": model, "max_tokens": 4000, "thinking": {"type": "adaptive"},
        "messages": [
            {"role": "user", "content": "What is a budget?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "A budget…", "signature": "SIG"},
                {"type": "text", "text": "A limit."}]},
            {"role": "user", "content": "What does it reserve?"},
        ],
    });
    if kb {
        request["kb"] = "docs".into();
    }
    let reply = gateway.ask(MESSAGES, "sk-test-kb", &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
    reply
}

#[tokio::test]
async fn model_drops_thinking_that_passages_have_invalidated() {
    let gateway = start().await;
    let reply = ask(&gateway, "bound", true).await;
    let route = reply.header("x-lintel-route");
    assert_eq!(route, Some("invoke; reason=passthrough"));
    let body = last_sent(&gateway);
    let flag = json!(["thinking-binding-controls-2026-08-01"]);
    assert_eq!(body["anthropic_beta"], flag);
    let binding = &body["thinking"]["block_binding"];
    assert_eq!(*binding, json!({"prefix_mismatch_behavior": "drop_block"}));
    assert_eq!(body["messages"][1]["content"][0]["signature"], "SIG");
}

#[tokio::test]
async fn converse_gets_no_thinking_that_passages_have_invalidated() {
    let gateway = start().await;
    let reply = ask(&gateway, "bound-converse", true).await;
    let body = last_sent(&gateway).to_string();
    assert!(!body.contains("reasoningContent"), "{body}");
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("reasoning_dropped"), "{warnings}");
}

#[tokio::test]
async fn thinking_returns_where_nothing_changed_or_nothing_is_bound() {
    let gateway = start().await;
    for (model, kb) in [("bound", false), ("bound-converse", false), ("free", true)] {
        let reply = ask(&gateway, model, kb).await;
        let body: Value = last_sent(&gateway);
        let block = &body["messages"][1]["content"][0]["reasoningContent"];
        assert_eq!(block["reasoningText"]["signature"], "SIG", "{model}");
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(!warnings.contains("reasoning_dropped"), "{warnings}");
    }
}
