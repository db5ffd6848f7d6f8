//! `GET /v1/models` for clients of Anthropic's API.

use http::{Method, StatusCode};
use serde_json::Value;

use super::gateway;
use crate::support::{Gateway, Reply};

async fn get(gateway: &Gateway, path: &str) -> Reply {
    let request = gateway.request(Method::GET, path);
    let request = request.header("anthropic-version", "2023-06-01");
    gateway.send(request.body("".into()).unwrap()).await
}

fn ids(list: &Value) -> Vec<String> {
    let models = list["data"].as_array().unwrap().iter();
    models
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_of_the_list_join_to_the_whole() {
    let gateway = gateway().await;
    let all = ids(&get(&gateway, "/v1/models").await.json());
    let (mut forward, mut path) = (Vec::new(), "/v1/models?limit=2".to_owned());
    loop {
        let page = get(&gateway, &path).await.json();
        forward.extend(ids(&page));
        if page["has_more"] == false {
            break;
        }
        assert_eq!(page["data"].as_array().unwrap().len(), 2);
        let last = page["last_id"].as_str().unwrap();
        path = format!("/v1/models?limit=2&after_id={last}");
    }
    assert_eq!(forward, all);
    let before = get(
        &gateway,
        &format!("/v1/models?limit=2&before_id={}", all[3]),
    )
    .await;
    assert_eq!(ids(&before.json()), all[1..3]);
    for query in ["limit=0", "limit=x", "after_id=nope"] {
        let reply = get(&gateway, &format!("/v1/models?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn model_is_found_by_the_name_that_messages_accept() {
    let gateway = gateway().await;
    let reply = get(&gateway, "/v1/models/claude-haiku-4-5").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let unknown = get(&gateway, "/v1/models/claude-3-haiku-20240307").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let text = unknown.text();
    assert!(text.contains("'claude-3-haiku-20240307'"), "{text}");
}
