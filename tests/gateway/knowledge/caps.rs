//! The operator's caps on what requests may set.

use serde_json::json;

use super::{READER, asking, searched, start};

#[tokio::test]
async fn requests_are_lowered_to_the_caps_of_the_knowledge_base() {
    let gateway = start().await;
    let high = json!({"name": "capped", "max_results": 50, "max_context_chars": 500_000, "max_context_tokens": 90_000, "min_score": 0.0});
    let reply = gateway.as_key(READER, &asking(high, "budget")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // Was: 50.
    let sent = &searched(&gateway)[0]["retrievalConfiguration"]["vectorSearchConfiguration"];
    assert_eq!(sent["numberOfResults"], 6);
    let warnings = reply.header("x-lintel-warnings").unwrap();
    for expected in [
        "kb.max_results: lowered to 6 (",
        "kb.max_context_chars: lowered to 9000 (",
        "kb.max_context_tokens: lowered to 3000 (",
        "kb.min_score: raised to 0.2 (",
    ] {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
}

#[tokio::test]
async fn the_tightest_cap_of_several_knowledge_bases_applies() {
    let gateway = start().await;
    let both = json!({"name": ["docs", "capped"], "max_context_chars": 100_000, "max_results": 6});
    let reply = gateway.as_key(READER, &asking(both, "budget")).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("kb.max_context_chars: lowered to 9000 ("),
        "{warnings}"
    );
    assert!(!warnings.contains("kb.max_results"), "{warnings}");
    let tool =
        json!([{"type": "file_search", "vector_store_ids": ["capped"], "max_num_results": 20}]);
    let mut request = asking(json!("capped"), "budget");
    request.as_object_mut().unwrap().remove("kb");
    request["tools"] = tool;
    let reply = gateway.as_key(READER, &request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("tools[0].max_num_results: lowered to 6 ("),
        "{warnings}"
    );
}
