//! Limits of the output, of metadata and of tokens, and what clients could do about them.

use http::Method;
use serde_json::{Value, json};

use super::{ask, call, claude, error_type, money::settled, say, sent};
use crate::support::{
    Gateway,
    money::{budget, key},
};

const SETTINGS: &str = r#"
    [models.lite]
    target = "amazon.nova-lite-v1:0"
    facts = { max_output_tokens = 500 }
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    [models.nova2]
    target = "us.amazon.nova-2-lite-v1:0"
    max_tokens = 100
    [models.qwen]
    target = "qwen.qwen3-32b-v1:0"
    facts = { max_output_tokens = 500 }
    [models.guarded]
    target = "amazon.nova-lite-v1:0"
    guardrail = { identifier = "forced123", version = "1" }
    [models.small]
    target = "us.anthropic.claude-sonnet-4-6"
    limits = { max_request_tokens = 3000 }
"#;

/// The service stops to evaluate what is not marked at the first mark.
#[tokio::test]
async fn marks_of_a_client_do_not_hide_text_from_the_operators_guardrail() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let marked = |qualifiers: Value| json!({"guardContent": {"text": {"text": "x", "qualifiers": qualifiers}}});
    let plain = json!({"guardContent": {"text": {"text": "x"}}});
    let user = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    let text = json!({"text": "contraband"});
    let mut in_system = user(json!([text]));
    in_system["system"] = json!([plain]);
    for body in [
        user(json!([text, plain])),
        user(json!([text, marked(json!(["grounding_source"]))])),
        user(json!([text, marked(json!(["query", "guard_content"]))])),
        in_system,
    ] {
        for operation in ["converse", "converse-stream"] {
            let reply = ask(&gateway, "guarded", operation, &body).await;
            assert_eq!(
                reply.status,
                200,
                "{}",
                String::from_utf8_lossy(&reply.body)
            );
            let shown = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(shown.contains("guardrail_intervened"), "{body}: {shown}");
            assert!(!sent(&gateway).to_string().contains("guardContent"));
            let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
            assert!(warnings.contains("guardContent"), "{warnings}");
        }
    }
}

/// What is reserved is the most that the model writes, so no more is asked of it.
#[tokio::test]
async fn limit_above_the_models_maximum_is_lowered() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut body = say("[simulate words 8000]");
    body["inferenceConfig"] = json!({"maxTokens": 9000, "temperature": 0.50});
    for operation in ["converse", "invoke"] {
        let (id, secret) = key(&gateway, budget(0.02)).await;
        let path = format!("/model/lite/{operation}");
        let reply = call(&gateway, &secret, &path, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(sent(&gateway)["inferenceConfig"]["maxTokens"], 500);
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(warnings.contains("9000 was sent as 500"), "{warnings}");
        let (_, cost) = settled(&gateway, &id).await;
        assert!(cost < 20_000_000, "{cost}");
    }
    for limit in [json!(9000), json!(9000.0)] {
        let body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": limit});
        let reply = ask(&gateway, "qwen", "invoke", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let sent = sent(&gateway);
        assert_eq!(sent["max_tokens"], 500, "{sent}");
        assert!(sent.get("max_completion_tokens").is_none(), "{sent}");
    }
}

#[tokio::test]
async fn only_the_highest_effort_of_nova_removes_the_limit() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let effort = |effort: &str| json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}});
    for (fields, limit) in [
        (json!({"inferenceConfig": {"topK": 5}}), json!(100)),
        (effort("low"), json!(100)),
        (effort("high"), Value::Null),
    ] {
        let mut body = say("Hi");
        body["additionalModelRequestFields"] = fields.clone();
        let reply = ask(&gateway, "nova2", "converse", &body).await;
        assert_eq!(reply.status, 200, "{fields}: {}", reply.text());
        assert_eq!(
            sent(&gateway)["inferenceConfig"]["maxTokens"],
            limit,
            "{fields}"
        );
    }
}

/// They link Bedrock's log to the ledger.
#[tokio::test]
async fn ids_of_the_gateway_are_always_in_the_metadata() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let pairs: serde_json::Map<String, Value> = (0..16)
        .map(|index| (format!("k{index:02}"), "v".into()))
        .collect();
    let mut own = say("Hi");
    own["requestMetadata"] = pairs.clone().into();
    let reply = ask(&gateway, "lite", "converse", &own).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let metadata = sent(&gateway)["requestMetadata"].clone();
    assert_eq!(metadata.as_object().unwrap().len(), 16);
    assert!(metadata["lintel_request_id"].is_string() && metadata["lintel_key_id"].is_string());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("k14") && warnings.contains("k15"),
        "{warnings}"
    );
    let invoke = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]});
    for own in [
        json!(pairs).to_string(),
        r#"{"a": "\u007f"}"#.to_owned(),
        r#"{"a": "\u00e9\n"}"#.to_owned(),
        r#"{"lintel_request_id": "mine"}"#.to_owned(),
    ] {
        let request = gateway
            .request(Method::POST, "/model/lite/invoke")
            .header("x-amzn-bedrock-request-metadata", &own);
        let reply = gateway
            .send(request.body(invoke.to_string().into()).unwrap())
            .await;
        assert_eq!(reply.status, 200, "{own}: {}", reply.text());
        let received = gateway.simulator.received().pop().unwrap();
        let header = received.headers["x-amzn-bedrock-request-metadata"].as_bytes();
        let metadata: Value = serde_json::from_slice(header).unwrap();
        let id = metadata["lintel_request_id"].as_str().unwrap();
        assert!(
            id != "mine" && metadata["lintel_key_id"].is_string(),
            "{own}"
        );
    }
}

#[tokio::test]
async fn inline_images_are_no_text_for_token_limits() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut body = claude("What is this?");
    let data = "iVBORw0KGgoAAAANSUhEUg".repeat(4000);
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
    body["messages"][0]["content"]
        .as_array_mut()
        .unwrap()
        .push(image);
    let reply = ask(&gateway, "small", "invoke", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    body["messages"][0]["content"][1] = json!({"type": "text", "text": "word ".repeat(4000)});
    let reply = ask(&gateway, "small", "invoke", &body).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
}

/// A request that exceeds a limit by itself is not repeated by SDKs, in contrast to throttling.
#[tokio::test]
async fn request_that_is_too_large_for_a_limit_is_not_throttling() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut body = say("Hi");
    body["inferenceConfig"] = json!({"maxTokens": 9000});
    let reply = ask(&gateway, "small", "converse", &body).await;
    assert_eq!(
        (reply.status.as_u16(), error_type(&reply)),
        (400, "ValidationException")
    );
}

#[tokio::test]
async fn tier_of_an_unknown_price_is_rejected() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut body = say("Hi");
    body["serviceTier"] = json!({"type": "ultrafast"});
    let reply = ask(&gateway, "lite", "converse", &body).await;
    assert_eq!(error_type(&reply), "ValidationException");
    let request = gateway
        .request(Method::POST, "/model/lite/invoke")
        .header("x-amzn-bedrock-service-tier", "ultrafast");
    let reply = gateway
        .send(request.body(say("Hi").to_string().into()).unwrap())
        .await;
    assert_eq!(error_type(&reply), "ValidationException");
    assert!(gateway.simulator.received().is_empty());
}

/// A quadratic check would take minutes.
#[tokio::test]
async fn body_of_many_members_is_read_in_linear_time() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let members: String = (0..60_000)
        .map(|index| format!(",\"{index:x}\":1"))
        .collect();
    let body = claude("Hi").to_string();
    let body = format!("{}{members}}}", &body[..body.len() - 1]);
    let started = std::time::Instant::now();
    let request = gateway.request(Method::POST, "/model/small/invoke");
    let reply = gateway.send(request.body(body.into()).unwrap()).await;
    assert!(reply.status.is_client_error(), "{}", reply.text());
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
