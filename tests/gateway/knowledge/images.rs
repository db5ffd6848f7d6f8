//! Images as queries.

use serde_json::{Value, json};

use super::{READER, asking, kb, searched, start};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn image() -> Value {
    json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}})
}

#[tokio::test]
async fn an_image_in_the_question_is_the_query_where_that_is_configured() {
    let gateway = start().await;
    let text = json!({"type": "text", "text": "What is this?"});
    for content in [json!([image()]), json!([text, image()])] {
        let mut request = asking(json!("photos"), "");
        request["messages"][0]["content"] = content;
        let reply = gateway.as_key(READER, &request).await;
        // Was: 400 without text, and otherwise a search for the text alone.
        assert_eq!(kb(&reply)["used"], true);
        let sent = searched(&gateway).pop().unwrap();
        let expected = json!({"type": "IMAGE", "image": {"format": "png", "inlineContent": PNG}});
        assert_eq!(sent["retrievalQuery"], expected);
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(
            warnings.contains("kb.rerank: ignored, the query is an image"),
            "{warnings}"
        );
    }
}

#[tokio::test]
async fn other_knowledge_bases_and_explicit_queries_are_searched_by_text() {
    let gateway = start().await;
    let text = json!({"type": "text", "text": "budget"});
    let mut request = asking(json!("docs"), "");
    request["messages"][0]["content"] = json!([text, image()]);
    assert_eq!(gateway.as_key(READER, &request).await.status, 200);
    request["kb"] = json!({"name": "photos", "query": "budget"});
    assert_eq!(gateway.as_key(READER, &request).await.status, 200);
    for sent in searched(&gateway) {
        assert_eq!(sent["retrievalQuery"], json!({"text": "budget"}));
    }
    request["kb"] = json!(["photos", "docs"]);
    let both = gateway.as_key(READER, &request).await;
    assert_eq!(kb(&both)["used"], true);
    request["messages"][0]["content"] = json!([image()]);
    let without_text = gateway.as_key(READER, &request).await;
    assert_eq!(without_text.status, 400, "docs takes no image");
    assert_eq!(without_text.error()["param"], "kb.query");
}
