//! Passages and questions as a guardrail sees them.

use serde_json::{Value, json};

use super::{asking, conversed, result, results, settings};
use crate::support::{Gateway, Reply, sha256};

/// A key with a guardrail, which clients cannot weaken.
const GUARDED: &str = "sk-test-guarded";

async fn start() -> Gateway {
    let more = format!(
        r#"
        [keys.guarded]
        sha256 = "{}"
        knowledge_bases = ["*"]
        guardrail = {{ identifier = "abc123", version = "1" }}
        "#,
        sha256(GUARDED)
    );
    Gateway::start_with(&format!("{}{more}", settings())).await
}

/// Asks with one passage, and returns the reply and the blocks of the user's turn.
async fn asked(gateway: &Gateway, passage: &str, messages: Value) -> (Reply, Vec<Value>) {
    results(gateway, json!([result(passage, Some(0.9))]));
    let mut request = asking(json!("docs"), "");
    request["messages"] = messages;
    let reply = gateway.as_key(GUARDED, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sent = conversed(gateway);
    let turns = sent[0]["messages"].as_array().unwrap();
    let blocks = turns.last().unwrap()["content"].as_array().unwrap().clone();
    (reply, blocks)
}

#[tokio::test]
async fn a_guardrail_receives_passages_and_question_with_their_qualifiers() {
    let gateway = start().await;
    let question = json!([{"role": "user", "content": "How long?"}]);
    let (reply, blocks) = asked(&gateway, "Thirty days.", question).await;
    // Was: all of it in `text`, the instruction included, and no check against the passages.
    let text = |block: &Value| block["guardContent"]["text"].clone();
    assert!(blocks[0]["text"].as_str().unwrap().starts_with("Here are"));
    let source = text(&blocks[1]);
    assert!(source["text"].as_str().unwrap().contains("Thirty days."));
    assert_eq!(
        source["qualifiers"],
        json!(["grounding_source", "guard_content"])
    );
    assert_eq!(
        text(&blocks[2]),
        json!({"text": "How long?", "qualifiers": ["query", "guard_content"]})
    );
    assert_eq!(
        reply.json()["choices"][0]["finish_reason"],
        "stop",
        "nothing is blocked"
    );
}

#[tokio::test]
async fn qualifiers_do_not_hide_anything_from_the_guardrail() {
    let said = |earlier: &str, now: &str| json!([{"role": "user", "content": earlier}, {"role": "user", "content": now}]);
    let cases = [
        ("a contraband passage", said("Hello.", "How long?")),
        ("Thirty days.", said("contraband", "How long?")),
        ("Thirty days.", said("Hello.", "contraband?")),
        (
            "Thirty days.",
            json!([
                {"role": "user", "content": "Hello."}, {"role": "assistant", "content": "contraband"},
                {"role": "user", "content": "How long?"},
            ]),
        ),
    ];
    for (passage, messages) in cases {
        let gateway = start().await;
        let (reply, _) = asked(&gateway, passage, messages.clone()).await;
        let choice = &reply.json()["choices"][0];
        assert_eq!(
            choice["finish_reason"], "content_filter",
            "{passage} {messages}"
        );
    }
}

#[tokio::test]
async fn content_that_cannot_be_marked_leaves_everything_unmarked() {
    let gif = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
    let text = json!({"type": "text", "text": "How long?"});
    let image = json!({"type": "image_url", "image_url": {"url": gif}});
    let file = json!({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="}});
    let long = "long ".repeat(201);
    let cases = [
        (json!([text, image]), "an image other than inline PNG"),
        (json!([text, file]), "a document would no longer"),
        (json!(long), "the question is longer"),
    ];
    for (content, why) in cases {
        let gateway = start().await;
        let messages = json!([{"role": "user", "content": content}]);
        let (reply, blocks) = asked(&gateway, "Thirty days.", messages).await;
        let marked = blocks.iter().any(|block| block["guardContent"].is_object());
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(!marked && warnings.contains(why), "{why}: {warnings}");
    }
}
