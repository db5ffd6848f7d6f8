//! The texts of passages in replies.

use serde_json::{Value, json};

use super::{READER, asking, kb, result, results, settings, start};
use crate::support::{Gateway, log::Log, sha256};

#[tokio::test]
async fn a_reply_includes_the_texts_of_passages_on_request() {
    let gateway = start().await;
    let options = json!({"name": "docs", "include_passages": true});
    let mut request = asking(options, "What?");
    results(&gateway, json!([result("a <b> c", Some(0.9))]));
    let whole = gateway.as_key(READER, &request).await;
    // Was: 400, because the member was unknown.
    assert_eq!(kb(&whole)["passages"][0]["text"], "a <b> c");
    request["stream"] = json!(true);
    results(&gateway, json!([result("a <b> c", Some(0.9))]));
    let streamed = gateway.as_key(READER, &request).await;
    let chunks = streamed.events();
    let found = chunks.iter().find_map(|chunk| {
        let chunk: Value = serde_json::from_str(chunk).ok()?;
        chunk.get("kb").cloned()
    });
    assert_eq!(found.unwrap()["passages"], kb(&whole)["passages"]);
    request["stream"] = json!(false);
    request["kb"] = json!({"name": "docs"});
    results(&gateway, json!([result("a <b> c", Some(0.9))]));
    let plain = gateway.as_key(READER, &request).await;
    assert!(kb(&plain)["passages"][0].get("text").is_none());
    request["kb"] = json!({"name": "docs", "include_passages": true, "include_sources": false});
    let contradictory = gateway.as_key(READER, &request).await;
    assert_eq!(contradictory.status, 400);
    assert_eq!(contradictory.error()["param"], "kb.include_passages");
}

#[tokio::test]
async fn texts_that_the_operators_guardrail_does_not_evaluate_are_left_out() {
    let key = format!(
        "[keys.guarded]\nsha256 = \"{}\"\nknowledge_bases = [\"*\"]\nguardrail = {{ identifier = \"abc123\", version = \"1\" }}",
        sha256("sk-test-guarded")
    );
    let gateway = Gateway::start_with(&format!("{}{key}", settings())).await;
    results(&gateway, json!([result("contraband", Some(0.9))]));
    let request = asking(json!({"name": "docs", "include_passages": true}), "What?");
    let reply = gateway.as_key("sk-test-guarded", &request).await;
    assert!(!reply.text().contains("\"text\""), "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("kb.include_passages: ignored"),
        "{warnings}"
    );
}

#[tokio::test]
async fn the_access_log_has_the_average_score_and_the_length_of_the_query() {
    const CHAT: &str = "/v1/chat/completions";
    let log = Log::start();
    let gateway = start().await;
    let found = json!([
        result("a", Some(0.5)),
        result("b", Some(0.25)),
        result("c", None)
    ]);
    results(&gateway, found);
    let request = asking(json!("docs"), "Größe?");
    assert_eq!(gateway.as_key(READER, &request).await.status, 200);
    gateway.until(async || !log.requests(CHAT).is_empty()).await;
    let line = &log.requests(CHAT)[0];
    // Was: neither member.
    assert_eq!(
        (&line["kb_avg_score"], &line["kb_query_chars"]),
        (&json!(0.375), &json!(6)),
        "{line}"
    );
}
