//! Reading and deleting.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{after, id};
use crate::{
    response_api::{asking, with},
    support::{Gateway, KEY},
};

#[tokio::test]
async fn response_is_retrieved_as_it_was_received() {
    let gateway = Gateway::start().await;
    let reply = gateway.respond(&asking("Hello")).await;
    let response = reply.json();
    let stored = gateway.retrieve(id(&response)).await;
    assert_eq!(stored.status, StatusCode::OK);
    assert_eq!(stored.body, reply.body);
    assert_eq!(stored.header("content-type"), Some("application/json"));
    let path = format!("{}?include[]=x&stream=false", id(&response));
    assert_eq!(gateway.retrieve(&path).await.status, StatusCode::OK);
    // As OpenAI's SDKs and other languages write it.
    for stream in ["true", "True", "1", "yes"] {
        let path = format!("{}?stream={stream}", id(&response));
        let streamed = gateway.retrieve(&path).await;
        assert_eq!(streamed.status, StatusCode::BAD_REQUEST, "{stream}");
        assert_eq!(streamed.error()["param"], "stream");
    }
}

#[tokio::test]
async fn deleted_response_is_not_found() {
    let gateway = Gateway::start().await;
    let response = gateway.answer(&asking("Hello")).await;
    for expected in [StatusCode::OK, StatusCode::NOT_FOUND] {
        let reply = gateway.stored(Method::DELETE, KEY, id(&response)).await;
        assert_eq!(reply.status, expected, "{}", reply.text());
    }
    for path in ["", "/input_items"] {
        let reply = gateway.retrieve(&format!("{}{path}", id(&response))).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.error()["code"], "response_not_found");
    }
}

#[tokio::test]
async fn input_items_are_listed_in_pages() {
    let gateway = Gateway::start().await;
    let first = gateway.answer(&asking("before")).await;
    let items: Vec<Value> = (0..25)
        .map(|nth| json!({"role": "user", "content": format!("text {nth}")}))
        .collect();
    let request = with(asking(""), "input", items.into());
    let response = gateway.answer(&after(&first, request)).await;
    let list = async |query: &str| {
        let path = format!("{}/input_items{query}", id(&response));
        gateway.retrieve(&path).await
    };
    let page = list("").await.json();
    assert_eq!(page["object"], "list");
    assert_eq!(page["has_more"], true);
    let data = page["data"].as_array().unwrap();
    assert_eq!(data.len(), 20);
    assert_eq!(page["first_id"], data[0]["id"]);
    assert_eq!(page["last_id"], data[19]["id"]);
    let text = |item: &Value| item["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text(&data[0]), "text 24");
    assert_eq!(data[0]["type"], "message");
    assert_eq!(data[0]["status"], "completed");
    assert_eq!(data[0]["content"][0]["type"], "input_text");
    let after = page["last_id"].as_str().unwrap();
    let rest = list(&format!("?after={after}")).await.json();
    assert_eq!(rest["data"].as_array().unwrap().len(), 5, "{rest}");
    assert_eq!(rest["has_more"], false);
    let ascending = list("?order=asc&limit=100").await.json();
    let ascending = ascending["data"].as_array().unwrap();
    assert_eq!(ascending.len(), 25, "only those of the request");
    assert_eq!(text(&ascending[0]), "text 0");
    for (query, param) in [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?limit=x", "limit"),
        ("?order=up", "order"),
        ("?after=msg_1", "after"),
    ] {
        let reply = list(query).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(reply.error()["param"], param, "{query}");
    }
}

#[tokio::test]
async fn only_responses_in_the_background_can_be_cancelled() {
    let gateway = Gateway::start().await;
    let response = gateway.answer(&asking("Hello")).await;
    let cancel = async |id: &str| {
        gateway
            .stored(Method::POST, KEY, &format!("{id}/cancel"))
            .await
    };
    assert_eq!(cancel(id(&response)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(cancel("resp_1").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn endpoints_need_a_key_and_their_method() {
    let gateway = Gateway::start().await;
    for (method, path, allowed) in [
        (Method::POST, "resp_1", "GET or DELETE"),
        (Method::PUT, "resp_1", "GET or DELETE"),
        (Method::POST, "resp_1/input_items", "GET"),
        (Method::GET, "resp_1/cancel", "POST"),
        (Method::GET, "compact", "POST"),
    ] {
        let reply = gateway.stored(method, KEY, path).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let text = reply.error()["message"].to_string();
        assert!(text.contains(&format!("Use {allowed}.")), "{text}");
    }
    for path in ["resp_1", "resp_1/input_items"] {
        let reply = gateway.stored(Method::GET, "sk-wrong", path).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    let reply = gateway.retrieve("resp_1").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}
