//! The bodies that Bedrock receives.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ask, claude, error_type, say, sent, start};

/// Removes the ids that the gateway adds.
fn without_ids(mut body: Value) -> Value {
    let metadata = body["requestMetadata"].as_object_mut().unwrap();
    assert!(metadata.remove("lintel_request_id").is_some());
    assert!(metadata.remove("lintel_key_id").is_some());
    if metadata.is_empty() {
        body.as_object_mut().unwrap().remove("requestMetadata");
    }
    body
}

#[tokio::test]
async fn body_passes_except_for_a_missing_limit() {
    let gateway = start().await;
    let full = json!({
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": [{"text": "Use look"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a1", "name": "look", "input": {"z": 1, "a": 1.50}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "a1", "content": [{"text": "here"}, {"json": {"b": 1}}], "status": "success"}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {"z": {}, "a": {}}}}}}]},
        "requestMetadata": {"project": "x"},
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5},
    });
    let reply = ask(&gateway, "lite", "converse", &full).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        without_ids(sent(&gateway)).to_string(),
        full.to_string(),
        "order and numbers are the client's"
    );
    ask(&gateway, "lite", "converse", &say("Hi")).await;
    let mut expected = say("Hi");
    expected["inferenceConfig"] = json!({"maxTokens": 100});
    assert_eq!(without_ids(sent(&gateway)), expected);
}

#[tokio::test]
async fn invoke_gets_the_limit_and_the_headers() {
    let gateway = start().await;
    let mut body = claude("Hi");
    body.as_object_mut().unwrap().remove("max_tokens");
    let request = gateway
        .request(Method::POST, "/model/sonnet/invoke")
        .header("x-amzn-bedrock-service-tier", "flex")
        .header("x-amzn-bedrock-request-metadata", "{\"project\": \"x\"}")
        .header("x-forwarded-for", "1.2.3.4");
    let reply = gateway
        .send(request.body(body.to_string().into()).unwrap())
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(sent(&gateway)["max_tokens"], 100);
    let received = gateway.simulator.received().pop().unwrap();
    assert_eq!(received.headers["x-amzn-bedrock-service-tier"], "flex");
    assert!(!received.headers.contains_key("x-forwarded-for"));
    let metadata = received.headers["x-amzn-bedrock-request-metadata"].as_bytes();
    let metadata: Value = serde_json::from_slice(metadata).unwrap();
    assert_eq!(metadata["project"], "x");
    assert!(metadata["lintel_request_id"].is_string());
    let nova = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"temperature": 0.5}});
    let reply = ask(&gateway, "lite", "invoke", &nova).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(
        sent(&gateway)["inferenceConfig"],
        json!({"temperature": 0.5, "maxTokens": 100})
    );
}

/// What would evade limits is rejected before anything is sent.
#[tokio::test]
async fn members_that_evade_limits_are_rejected() {
    let gateway = start().await;
    let with = |name: &str, value: Value| {
        let mut body = say("Hi");
        body[name] = value;
        body
    };
    for body in [
        with(
            "additionalModelRequestFields",
            json!({"max_tokens": 100_000}),
        ),
        with(
            "additionalModelRequestFields",
            json!({"a": [{"tools": []}]}),
        ),
        with(
            "inferenceConfig",
            json!({"maxTokens": 5, "max_tokens": 100_000}),
        ),
        with("unknown", json!({})),
    ] {
        let reply = ask(&gateway, "lite", "converse", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(error_type(&reply), "ValidationException");
    }
    let request = gateway.request(Method::POST, "/model/lite/converse");
    let twice = r#"{"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"maxTokens": 1}, "inferenceConfig": {"maxTokens": 90000}}"#;
    let reply = gateway.send(request.body(twice.into()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    let request = gateway.request(Method::POST, "/model/sonnet/invoke");
    let twice = claude("Hi")
        .to_string()
        .replacen('{', "{\"max_tokens\": 90000,", 1);
    let reply = gateway.send(request.body(twice.into()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn guardrail_of_the_operator_is_forced_and_its_trace_hidden() {
    let gateway = start().await;
    let mut own = say("contraband");
    own["guardrailConfig"] = json!({"guardrailIdentifier": "client123", "guardrailVersion": "DRAFT", "trace": "enabled"});
    for body in [say("contraband"), own] {
        let reply = ask(&gateway, "judged", "converse", &body).await;
        assert_eq!(reply.json()["stopReason"], "guardrail_intervened");
        assert!(reply.json()["trace"].is_null(), "{}", reply.text());
        assert_eq!(
            sent(&gateway)["guardrailConfig"],
            json!({"guardrailIdentifier": "forced123", "guardrailVersion": "1", "trace": "enabled"})
        );
        let reply = ask(&gateway, "judged", "converse-stream", &body).await;
        assert_eq!(reply.status, StatusCode::OK);
        let text = String::from_utf8_lossy(&reply.body);
        assert!(text.contains("guardrail_intervened") && !text.contains("inputAssessment"));
    }
    let before = gateway.simulator.received().len();
    for (model, operation, body) in [
        ("judged", "invoke", json!({"messages": []})),
        ("applied", "converse", say("Hi")),
        ("applied", "converse-stream", say("Hi")),
    ] {
        let reply = ask(&gateway, model, operation, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{model} {operation}");
        assert_eq!(error_type(&reply), "ValidationException");
    }
    assert_eq!(gateway.simulator.received().len(), before);
}
