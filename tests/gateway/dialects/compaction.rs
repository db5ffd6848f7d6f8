//! Compactions that fail, and those of clients with Knowledge Bases.

use http::StatusCode;
use serde_json::{Value, json};

use super::{converse_whole, events, merged};
use crate::support::{Gateway, Reply, sha256};

const READER: &str = "sk-test-reader";

async fn start() -> Gateway {
    let more = format!(
        r#"
        [knowledge_bases.docs]
        id = "LINTELDOCS"
        [keys.reader]
        sha256 = "{}"
        knowledge_bases = ["*"]
        "#,
        sha256(READER)
    );
    Gateway::start_with(&more).await
}

async fn compact(gateway: &Gateway, more: Value) -> Reply {
    let input =
        json!([{"role": "user", "content": "What is a budget?"}, {"type": "compaction_trigger"}]);
    let request = json!({"model": "claude", "input": input});
    gateway
        .ask("/v1/responses", READER, &merged(request, more))
        .await
}

async fn compact_path(gateway: &Gateway, more: Value) -> Reply {
    let request = json!({"model": "claude", "input": "What is a budget?"});
    gateway
        .ask("/v1/responses/compact", READER, &merged(request, more))
        .await
}

#[tokio::test]
async fn compaction_searches_nothing_and_returns_one_item() {
    let gateway = start().await;
    let tool = json!([{"type": "file_search", "vector_store_ids": ["docs"]}]);
    for more in [json!({"kb": "docs"}), json!({"tools": tool})] {
        let whole = compact(&gateway, more.clone()).await;
        assert_eq!(whole.status, StatusCode::OK, "{}", whole.text());
        let warnings = whole.header("x-lintel-warnings").unwrap_or_default();
        assert!(
            warnings.contains("searches no Knowledge Base"),
            "{warnings}"
        );
        let stream = compact(&gateway, merged(more.clone(), json!({"stream": true}))).await;
        let streamed = events(&stream).last().unwrap()["response"].clone();
        let path = compact_path(&gateway, more).await.json();
        for reply in [whole.json(), streamed, path] {
            let output = reply["output"].as_array().unwrap();
            assert_eq!(output.len(), 1, "{reply}");
            assert_eq!(output[0]["type"], "compaction");
        }
    }
    let sent = gateway.bodies();
    assert!(sent.iter().all(|body| body.get("retrievalQuery").is_none()));
}

#[tokio::test]
async fn summary_that_is_cut_is_an_error_that_nobody_repeats() {
    let gateway = start().await;
    let script = || {
        let reply = converse_whole("The task is", "max_tokens", json!({}));
        gateway.simulator.script(reply);
    };
    script();
    let whole = compact(&gateway, json!({})).await;
    script();
    let path = compact_path(&gateway, json!({})).await;
    for reply in [whole, path] {
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
        assert_eq!(reply.error()["code"], "no_summary");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    let request = json!({"stream": true, "max_output_tokens": 16, "input": [
        {"role": "user", "content": "[simulate words 500]"}, {"type": "compaction_trigger"}]});
    let events = events(&compact(&gateway, request).await);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed", "{last}");
    assert_eq!(last["response"]["error"]["code"], "invalid_prompt");
}

#[tokio::test]
async fn compaction_that_is_blocked_says_so() {
    let gateway = start().await;
    let script = || {
        let reply = converse_whole("Not allowed.", "guardrail_intervened", json!({}));
        gateway.simulator.script(reply);
    };
    script();
    let body = compact(&gateway, json!({})).await.json();
    assert_eq!(body["status"], "failed", "{body}");
    assert_eq!(body["error"]["code"], "invalid_prompt");
    assert_eq!(body["error"]["message"], "Not allowed.");
    script();
    let reply = compact_path(&gateway, json!({})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "invalid_prompt");
    assert_eq!(reply.error()["message"], "Not allowed.");
}
