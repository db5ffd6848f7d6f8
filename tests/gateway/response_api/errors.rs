//! Errors, before a reply and in a stream.

use http::{Method, StatusCode};
use serde_json::json;

use super::{asking, events, streamed, with};
use crate::support::Gateway;

/// A fault in a stream, and the code of the failed response.
const BREAKS: [(&str, &str); 6] = [
    ("cut", "server_error"),
    ("no-stop", "server_error"),
    ("truncate", "server_error"),
    ("bad-crc", "server_error"),
    ("exception throttlingException", "rate_limit_exceeded"),
    ("exception somethingNewException", "server_error"),
];

#[tokio::test]
async fn broken_stream_ends_with_an_error_and_a_failed_response() {
    let gateway = Gateway::start().await;
    for (fault, code) in BREAKS {
        let request = streamed(asking(&format!("one two three four [simulate {fault}]")));
        let reply = gateway.respond(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{fault}");
        let events = events(&reply);
        let [before @ .., error, failed] = events.as_slice() else {
            panic!("{fault}: {}", reply.text());
        };
        assert_eq!(error["type"], "error", "{fault}");
        assert_eq!(error["code"], code, "{fault}");
        for member in ["message", "type", "param", "code"] {
            assert!(error["error"].get(member).is_some(), "{fault}: {error}");
        }
        assert_eq!(failed["type"], "response.failed", "{fault}");
        assert_eq!(failed["response"]["status"], "failed");
        assert_eq!(failed["response"]["error"]["code"], code);
        assert_eq!(failed["response"]["error"]["message"], error["message"]);
        let names = before.iter().map(|event| event["type"].as_str().unwrap());
        let done = names.filter(|name| name.ends_with(".done") || name.ends_with("completed"));
        assert_eq!(done.count(), 0, "{fault}: no item looks complete");
    }
}

#[tokio::test]
async fn throttled_stream_says_when_to_try_again() {
    let gateway = Gateway::start().await;
    let request = streamed(asking("one two [simulate exception throttlingException]"));
    let events = events(&gateway.respond(&request).await);
    let message = events.last().unwrap()["response"]["error"]["message"].to_string();
    assert!(message.contains("try again in "), "{message}");
}

#[tokio::test]
async fn error_before_the_stream_is_an_ordinary_error() {
    let gateway = Gateway::start().await;
    let reply = gateway
        .respond(&streamed(asking("Hi [simulate too-long]")))
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let error = reply.error();
    assert_eq!(error["code"], "context_length_exceeded");
    assert_eq!(error["param"], "input");
    let unknown = with(asking("Hi"), "model", "nope".into());
    let reply = gateway.respond(&unknown).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.error()["code"], "model_not_found");
}

#[tokio::test]
async fn exhausted_quota_names_no_time_to_wait_for() {
    let gateway = Gateway::start().await;
    let reply = gateway.respond(&asking("Hi [simulate quota]")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), None);
}

#[tokio::test]
async fn members_that_would_make_the_answer_wrong_are_rejected() {
    let gateway = Gateway::start().await;
    for (member, value) in [
        ("background", json!(true)),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id": "pmpt_1"})),
        ("top_logprobs", json!(3)),
        ("messages", json!([{"role": "user", "content": "Hi"}])),
        ("response_format", json!({"type": "json_object"})),
        ("max_tokens", json!(5)),
        ("functions", json!([{"name": "f"}])),
    ] {
        let reply = gateway.respond(&with(asking("Hi"), member, value)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{member}");
        let error = reply.error();
        assert_eq!(error["param"], member);
        assert_eq!(error["code"], "unsupported_parameter", "{member}");
    }
    for (member, value) in [
        ("background", json!(false)),
        ("top_logprobs", json!(0)),
        ("conversation", json!(null)),
    ] {
        let reply = gateway.respond(&with(asking("Hi"), member, value)).await;
        assert_eq!(reply.status, StatusCode::OK, "{member}: {}", reply.text());
    }
    for input in [json!(null), json!(""), json!([])] {
        let reply = gateway.respond(&with(asking(""), "input", input)).await;
        assert_eq!(reply.error()["param"], "input");
    }
}

#[tokio::test]
async fn unknown_responses_and_items_are_not_found() {
    let gateway = Gateway::start().await;
    let request = with(asking("Hi"), "previous_response_id", "resp_1".into());
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.error()["code"], "previous_response_not_found");
    let input =
        json!([{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Hi"}]);
    let reply = gateway.respond(&with(asking(""), "input", input)).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.error()["param"], "input[0].id");
    assert!(
        reply.error()["message"]
            .as_str()
            .unwrap()
            .contains("'store'")
    );
    let input =
        json!([{"type": "item_reference", "id": "rs_1"}, {"role": "user", "content": "Hi"}]);
    let reply = gateway.respond(&with(asking(""), "input", input)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("input[0]: ignored")
    );
}

#[tokio::test]
async fn websocket_is_refused_at_once() {
    let gateway = Gateway::start().await;
    let request = gateway
        .request(Method::GET, "/v1/responses")
        .header("sec-websocket-version", "13")
        .header("upgrade", "websocket");
    let reply = gateway
        .send(request.body(axum::body::Body::empty()).unwrap())
        .await;
    assert_eq!(reply.status, StatusCode::UPGRADE_REQUIRED);
    assert_eq!(reply.error()["code"], "websocket_not_supported");
    let reply = gateway.get("/v1/responses").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn guardrail_that_answers_instead_of_the_model_is_a_failure() {
    let gateway = Gateway::start().await;
    let mut request = asking("Hi [simulate guardrail]");
    request["bedrock"] = json!({"guardrail": {"identifier": "abc123", "version": "1"}});
    let whole = gateway.respond(&request).await.json();
    assert_eq!(whole["status"], "failed", "{whole}");
    assert_eq!(whole["error"]["code"], "invalid_prompt");
    assert_eq!(whole["output"], json!([]));
    assert!(whole["usage"]["input_tokens"].is_u64());
}
