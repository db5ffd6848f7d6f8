//! Permissions of keys on Knowledge Bases, and filters that clients cannot widen.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{READER, TENANT, asking, conversed, searched, start};
use crate::support::{Gateway, KEY, money};

async fn listed(gateway: &Gateway, secret: &str) -> Vec<Value> {
    let uri = format!("http://{}/v1/knowledge_bases", gateway.data);
    let request = Request::get(uri).header("authorization", format!("Bearer {secret}"));
    let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.json()["object"], "list");
    assert!(
        !reply.text().contains("arn:") && !reply.text().contains("LINTELDOCS"),
        "ids of Knowledge Bases are not revealed"
    );
    reply.json()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_key_lists_and_searches_only_permitted_knowledge_bases() {
    let gateway = start().await;
    let names = |list: Vec<Value>| {
        list.iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(listed(&gateway, KEY).await),
        [""; 0],
        "no Knowledge Base is permitted by default"
    );
    assert_eq!(names(listed(&gateway, TENANT).await), ["managed", "readme"]);
    let all = listed(&gateway, READER).await;
    let docs = all.iter().find(|one| one["id"] == "docs").unwrap();
    assert_eq!(
        docs,
        &json!({"id": "docs", "object": "knowledge_base", "description": "The gateway's own", "type": "vector",
        "search": "hybrid", "max_results": 5, "min_score": 0.0, "max_context_chars": 8000, "on_error": "answer_without"})
    );
    for (secret, kb, status, code) in [
        (KEY, json!("docs"), 403, "knowledge_base_not_allowed"),
        (TENANT, json!("docs"), 403, "knowledge_base_not_allowed"),
        (
            TENANT,
            json!(["readme", "docs"]),
            403,
            "knowledge_base_not_allowed",
        ),
        (TENANT, json!("LINTELDOCS"), 404, "knowledge_base_not_found"),
        (READER, json!("../docs"), 404, "knowledge_base_not_found"),
    ] {
        let reply = gateway.as_key(secret, &asking(kb.clone(), "budget")).await;
        assert_eq!(
            (
                reply.status.as_u16(),
                reply.error()["code"].as_str().unwrap()
            ),
            (status, code),
            "{kb}"
        );
    }
    let mut tool = asking(Value::Null, "budget");
    tool["tools"] = json!([{"type": "file_search", "vector_store_ids": ["docs"]}]);
    let reply = gateway.as_key(TENANT, &tool).await;
    assert_eq!(
        (
            reply.status.as_u16(),
            reply.error()["param"].as_str().unwrap()
        ),
        (403, "tools[0].vector_store_ids")
    );
    assert!(
        gateway.simulator.received().is_empty(),
        "nothing is sent to AWS"
    );
}

#[tokio::test]
async fn forced_filters_cannot_be_widened() {
    let gateway = start().await;
    let readme = json!({"equals": {"key": "file", "value": "README.md"}});
    let everything = json!({"orAll": [{"notEquals": {"key": "file", "value": "x"}}, {"equals": {"key": "file", "value": "SECURITY.md"}}]});
    for own in [
        json!(null),
        everything.clone(),
        json!({"notEquals": {"key": "file", "value": "README.md"}}),
        json!({"andAll": [everything, {"notIn": {"key": "file", "value": ["x"]}}]}),
        json!({"type": "or", "filters": [{"type": "ne", "key": "file", "value": "x"}, {"type": "eq", "key": "a", "value": 1}]}),
    ] {
        let reply = gateway
            .as_key(
                READER,
                &asking(
                    json!({"name": "readme", "filter": own}),
                    "budget gateway key",
                ),
            )
            .await;
        let passages = reply.json()["kb"]["passages"].as_array().unwrap().clone();
        assert!(
            passages
                .iter()
                .all(|one| one["metadata"]["file"] == "README.md"),
            "{own}"
        );
        let sent =
            searched(&gateway).last().unwrap()["retrievalConfiguration"]["vectorSearchConfiguration"]["filter"].clone();
        match own.is_null() {
            true => assert_eq!((sent, passages.is_empty()), (readme.clone(), false)),
            false => assert_eq!(sent["andAll"][0], readme, "AND-ed, and first: {sent}"),
        }
    }
    // The service's message about a filter that also contains the operator's is not shown.
    let own = json!({"name": "readme", "on_error": "fail", "filter": {"equals": {"key": "a", "value": 1}}});
    let reply = gateway
        .as_key(READER, &asking(own, "[simulate kb validation]"))
        .await;
    assert_eq!(reply.error()["code"], "invalid_filter");
    assert!(!reply.text().contains("not valid"), "{}", reply.text());
    // A filter with two members could evade the AND.
    let two = json!({"equals": {"key": "file", "value": "README.md"}, "orAll": []});
    let reply = gateway
        .as_key(
            READER,
            &asking(json!({"name": "readme", "filter": two}), "budget"),
        )
        .await;
    assert_eq!(
        (
            reply.status.as_u16(),
            reply.error()["param"].as_str().unwrap()
        ),
        (400, "kb.filter")
    );
}

#[tokio::test]
async fn the_filter_and_the_user_of_a_key_apply_to_every_search() {
    let gateway = start().await;
    let mut request = asking(json!(["readme", "managed"]), "budget");
    request["user"] = "mallory".into();
    let reply = gateway.as_key(TENANT, &request).await;
    assert_eq!(
        reply.json()["kb"]["reason"],
        "no_results",
        "the simulator has no documents of the tenant"
    );
    let tenant = json!({"equals": {"key": "tenant", "value": "acme"}});
    let (mut vector, mut managed) = (Value::Null, Value::Null);
    for search in searched(&gateway) {
        match search["retrievalConfiguration"]["managedSearchConfiguration"].is_null() {
            true => vector = search,
            false => managed = search,
        }
    }
    let configuration = &vector["retrievalConfiguration"]["vectorSearchConfiguration"];
    assert_eq!(
        configuration["filter"],
        json!({"andAll": [{"equals": {"key": "file", "value": "README.md"}}, tenant]})
    );
    assert_eq!(
        managed["retrievalConfiguration"]["managedSearchConfiguration"]["filter"],
        tenant
    );
    assert_eq!(
        (vector.get("userContext"), &managed["userContext"]),
        (None, &json!({"userId": "alice@example.com"}))
    );
    gateway
        .as_key(READER, &asking(json!("managed"), "budget"))
        .await;
    assert_eq!(
        searched(&gateway)[2]["userContext"]["userId"],
        "reader",
        "the id of the key is the default user"
    );
    assert_eq!(conversed(&gateway).len(), 2);
}

#[tokio::test]
async fn virtual_keys_support_the_same_settings() {
    let gateway = start().await;
    let settings = json!({"knowledge_bases": ["doc*"], "knowledge_base_filter": {"equals": {"key": "file", "value": "SECURITY.md"}}});
    let (_, secret) = money::key(&gateway, settings).await;
    let reply = gateway
        .as_key(&secret, &asking(json!("docs"), "report a vulnerability"))
        .await;
    let kb = super::kb(&reply);
    assert!(
        kb["passages"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["metadata"]["file"] == "SECURITY.md"),
        "{kb}"
    );
    assert_eq!(
        gateway
            .as_key(&secret, &asking(json!("readme"), "budget"))
            .await
            .status,
        403
    );
    let wrong = json!({"name": "x", "knowledge_base_filter": {"equals": {"key": ""}}});
    let (status, error) = gateway
        .administer(Method::POST, "/admin/keys", &wrong)
        .await;
    assert_eq!(status, 400, "{error}");
}
