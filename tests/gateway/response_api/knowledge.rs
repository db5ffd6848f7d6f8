//! Knowledge Bases, by `kb` and by the tool `file_search`.

use http::StatusCode;
use serde_json::json;

use super::{RESPONSES, asking, events, items_of, last_response, streamed, with};
use crate::support::{Gateway, sha256};

/// A key that may use the Knowledge Base.
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

#[tokio::test]
async fn file_search_runs_before_the_model_and_has_an_item() {
    let gateway = start().await;
    let tool = json!({"type": "file_search", "vector_store_ids": ["docs"], "max_num_results": 2});
    let mut request = with(asking("What is a budget?"), "tools", json!([tool]));
    request["include"] = json!(["file_search_call.results"]);
    let reply = gateway.ask(RESPONSES, READER, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    let search = &body["output"][0];
    assert_eq!(search["type"], "file_search_call");
    assert_eq!(search["queries"], json!(["What is a budget?"]));
    assert_eq!(search["results"].as_array().unwrap().len(), 2, "{search}");
    let annotations = &items_of(&body, "message")[0]["content"][0]["annotations"];
    assert_eq!(annotations[0]["type"], "file_citation", "{body}");
    assert!(annotations[0]["filename"].is_string() && annotations[0]["index"].is_u64());
    assert_eq!(body["kb"]["used"], true);
    let mut unknown = request;
    unknown["tools"][0]["vector_store_ids"] = json!(["nope"]);
    let reply = gateway.ask(RESPONSES, READER, &unknown).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn kb_works_in_streams() {
    let gateway = start().await;
    let request = with(asking("What is a budget?"), "kb", "docs".into());
    let events = events(&gateway.ask(RESPONSES, READER, &streamed(request)).await);
    let names: Vec<&str> = events[2..7]
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "response.output_item.added",
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
            "response.file_search_call.completed",
            "response.output_item.done",
        ]
    );
    let last = last_response(&events);
    assert_eq!(last["output"][0]["results"], json!(null));
    assert_eq!(last["output"][1]["type"], "message");
    assert_eq!(last["kb"]["used"], true);
    let added = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.annotation.added");
    assert!(added.count() > 0);
}
