//! Requests to Retrieve: search types, pages, reranking and regions.

use serde_json::{Value, json};

use super::{READER, asking, kb, searched, settings, start};
use crate::support::Gateway;

/// Returns the `vectorSearchConfiguration` of a request.
fn vector(search: &Value) -> &Value {
    &search["retrievalConfiguration"]["vectorSearchConfiguration"]
}

#[tokio::test]
async fn an_unsupported_search_type_is_omitted_and_remembered() {
    let gateway = start().await;
    for _ in 0..2 {
        let reply = gateway
            .as_key(READER, &asking(json!("plain"), "budget"))
            .await;
        assert_eq!(kb(&reply)["used"], true);
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(
            warnings.contains("does not support hybrid search"),
            "{warnings}"
        );
    }
    let types: Vec<Value> = searched(&gateway)
        .iter()
        .map(|search| vector(search)["overrideSearchType"].clone())
        .collect();
    assert_eq!(
        types,
        [json!("HYBRID"), Value::Null, Value::Null],
        "the type is sent only once"
    );
    gateway
        .as_key(
            READER,
            &asking(json!({"name": "docs", "search": "semantic"}), "budget"),
        )
        .await;
    gateway
        .as_key(
            READER,
            &asking(json!({"name": "docs", "search": "auto"}), "budget"),
        )
        .await;
    let searches = searched(&gateway);
    assert_eq!(
        (
            &vector(&searches[3])["overrideSearchType"],
            vector(&searches[4]).get("overrideSearchType")
        ),
        (&json!("SEMANTIC"), None)
    );
}

#[tokio::test]
async fn an_error_that_quotes_the_query_does_not_disable_the_search_type() {
    let gateway = start().await;
    // The simulator quotes the unknown directive in its error.
    let hostile = asking(
        json!({"name": "docs", "on_error": "fail"}),
        "[simulate kb HYBRID search type is not supported]",
    );
    assert_eq!(
        gateway.as_key(READER, &hostile).await.error()["code"],
        "knowledge_base_refused"
    );
    let reply = gateway
        .as_key(READER, &asking(json!("docs"), "budget"))
        .await;
    assert_eq!(
        (
            kb(&reply)["used"].clone(),
            reply.header("x-lintel-warnings")
        ),
        (json!(true), None)
    );
    assert_eq!(
        vector(searched(&gateway).last().unwrap())["overrideSearchType"],
        "HYBRID"
    );
}

#[tokio::test]
async fn pages_are_requested_until_there_are_enough_results() {
    let gateway = start().await;
    let request = asking(
        json!({"name": "docs", "max_results": 10, "max_context_chars": 100_000}),
        "key budget model",
    );
    let found = kb(&gateway.as_key(READER, &request).await)["passages"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(found.len(), 10);
    let searches = searched(&gateway);
    assert_eq!(
        searches
            .iter()
            .map(|search| vector(search)["numberOfResults"].clone())
            .collect::<Vec<_>>(),
        [10, 10]
    );
    assert_eq!(searches[1]["nextToken"], "page-6");
    let sources: Vec<String> = found
        .iter()
        .map(|one| one["metadata"].to_string())
        .collect();
    assert_eq!(
        sources
            .iter()
            .collect::<std::collections::HashSet<_>>()
            .len(),
        10,
        "no result is repeated"
    );
}

#[tokio::test]
async fn limits_of_the_context_apply() {
    let gateway = start().await;
    let all = kb(&gateway
        .as_key(READER, &asking(json!("docs"), "budget key"))
        .await);
    let count = |kb: &Value| kb["passages"].as_array().unwrap().len();
    for bound in [
        json!({"max_context_chars": 2500}),
        json!({"max_context_tokens": 600}),
        json!({"max_results": 2}),
    ] {
        let mut object = bound.clone();
        object["name"] = "docs".into();
        let less = kb(&gateway.as_key(READER, &asking(object, "budget key")).await);
        assert!(
            (1..count(&all)).contains(&count(&less))
                && less["context_chars"].as_u64().unwrap() <= 2500,
            "{bound}: {less}"
        );
        assert_eq!(less["passages"][0], all["passages"][0]);
    }
    let reply = gateway
        .as_key(
            READER,
            &asking(
                json!({"name": "docs", "max_context_chars": 50}),
                "budget key",
            ),
        )
        .await;
    assert_eq!(
        (count(&kb(&reply)), kb(&reply)["context_chars"].as_u64()),
        (1, Some(50))
    );
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("was cut")
    );
    let best = all["passages"][1]["score"].as_f64().unwrap();
    let floor = kb(&gateway
        .as_key(
            READER,
            &asking(json!({"name": "docs", "min_score": best}), "budget key"),
        )
        .await);
    assert_eq!(count(&floor), 2, "min_score is inclusive");
}

#[tokio::test]
async fn reranking_options_are_sent_in_the_form_of_the_service() {
    let more = r#"
        [knowledge_bases.reranked]
        id = "RERANKED00"
        region = "eu-central-1"
        max_results = 3
        rerank = { model = "amazon.rerank-v1:0", candidates = 20, include_metadata = ["title"] }
        [knowledge_bases.chosen]
        id = "MANAGED111"
        type = "managed"
        rerank = "managed"
        [knowledge_bases.implicit]
        id = "IMPLICIT00"
        implicit_filter = { model = "anthropic.claude-3-5-sonnet-20240620-v1:0", attributes = [{ key = "part", type = "NUMBER", description = "of a file" }] }
    "#;
    let gateway = Gateway::start_with(&(settings() + more)).await;
    for object in [
        json!("reranked"),
        json!({"name": "reranked", "rerank": "cohere.rerank-v3-5:0"}),
        json!({"name": "reranked", "rerank": "none"}),
        json!("chosen"),
        json!({"name": "chosen", "rerank": "none"}),
        json!({"name": "chosen", "rerank": "cohere.rerank-v3-5:0"}),
        json!("implicit"),
    ] {
        assert_eq!(
            kb(&gateway
                .as_key(READER, &asking(object.clone(), "budget key"))
                .await)["used"],
            true,
            "{object}"
        );
    }
    let searches = searched(&gateway);
    let first = vector(&searches[0]);
    assert_eq!(
        (&first["numberOfResults"], &first["rerankingConfiguration"]),
        (
            &json!(20),
            &json!({
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": {"modelArn": "arn:aws:bedrock:eu-central-1::foundation-model/amazon.rerank-v1:0"},
                    "numberOfRerankedResults": 3,
                    "metadataConfiguration": {"selectionMode": "SELECTIVE", "selectiveModeConfiguration": {"fieldsToInclude": [{"fieldName": "title"}]}},
                },
            })
        )
    );
    let arn = |search: &Value| {
        vector(search)["rerankingConfiguration"]["bedrockRerankingConfiguration"]["modelConfiguration"]["modelArn"]
            .clone()
    };
    assert_eq!(
        arn(&searches[1]),
        "arn:aws:bedrock:eu-central-1::foundation-model/cohere.rerank-v3-5:0"
    );
    assert_eq!(
        (
            vector(&searches[2]).get("rerankingConfiguration"),
            &vector(&searches[2])["numberOfResults"]
        ),
        (None, &json!(3))
    );
    let managed: Vec<&Value> = searches
        .iter()
        .map(|search| &search["retrievalConfiguration"]["managedSearchConfiguration"])
        .filter(|one| one.is_object())
        .collect();
    let kinds: Vec<&str> = managed
        .iter()
        .map(|one| one["rerankingModelType"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"MANAGED") && kinds.contains(&"NONE") && kinds.contains(&"CUSTOM"),
        "{kinds:?}"
    );
    assert!(
        managed
            .iter()
            .all(|one| one.get("overrideSearchType").is_none())
    );
    let implicit = vector(searches.last().unwrap())["implicitFilterConfiguration"].clone();
    assert_eq!(
        implicit,
        json!({"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0",
        "metadataAttributes": [{"key": "part", "type": "NUMBER", "description": "of a file"}]})
    );
    let regions: Vec<String> = gateway
        .simulator
        .received()
        .iter()
        .map(|one| one.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert!(
        regions[0].contains("/eu-central-1/bedrock/aws4_request"),
        "signed for the region of the Knowledge Base: {}",
        regions[0]
    );
}

#[tokio::test]
async fn the_region_of_an_arn_is_used() {
    let gateway = start().await;
    gateway
        .as_key(READER, &asking(json!("strict"), "budget"))
        .await;
    let received = &gateway.simulator.received()[0];
    assert_eq!(
        received.path,
        "/knowledgebases/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aknowledge-base%2FSTRICT0000/retrieve"
    );
    assert!(
        received.headers["authorization"]
            .to_str()
            .unwrap()
            .contains("/eu-west-1/bedrock/aws4_request")
    );
}
