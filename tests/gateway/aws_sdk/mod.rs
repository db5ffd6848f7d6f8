//! Requests of AWS SDKs, which pass through.

mod bodies;
mod limits;
mod money;
mod routers;
mod signed;
mod streams;
mod units;
mod usage;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{Gateway, KEY, Reply};

/// Two models with prices of $2 and $10 per million tokens.
const SETTINGS: &str = r#"
    [models.lite]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    retry = { attempts = 1 }
    [models.sonnet]
    target = "us.anthropic.claude-sonnet-4-6"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    [models.judged]
    target = "amazon.nova-lite-v1:0"
    guardrail = { identifier = "forced123", version = "1" }
    [models.applied]
    target = "amazon.nova-lite-v1:0"
    guardrail = { identifier = "forced123", version = "1", apply = "both" }
    [models.limited]
    target = "amazon.nova-lite-v1:0"
    limits = { requests_per_minute = 1, burst = 1 }
    [models.chosen]
    target = "us.openai.gpt-6-sol"
    api = "chat"
"#;

async fn start() -> Gateway {
    Gateway::start_with(SETTINGS).await
}

async fn call(gateway: &Gateway, secret: &str, path: &str, body: &Value) -> Reply {
    let request = Request::post(format!("http://{}{path}", gateway.data))
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "application/json");
    gateway
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

/// Calls an operation of `model` with the key of most tests.
async fn ask(gateway: &Gateway, model: &str, operation: &str, body: &Value) -> Reply {
    call(gateway, KEY, &format!("/model/{model}/{operation}"), body).await
}

/// A Converse request with one user message.
fn say(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

/// A body of Claude with one user message.
fn claude(text: &str) -> Value {
    json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50,
           "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]})
}

fn error_type(reply: &Reply) -> &str {
    assert!(reply.json()["message"].is_string(), "{}", reply.text());
    reply.header("x-amzn-errortype").unwrap()
}

/// Returns the body of the last request that the simulator received.
fn sent(gateway: &Gateway) -> Value {
    let sent = gateway.simulator.received().pop().unwrap();
    serde_json::from_slice(&sent.body).unwrap()
}

#[tokio::test]
async fn reply_is_that_of_bedrock() {
    let gateway = start().await;
    let reply = ask(&gateway, "lite", "converse", &say("Hello")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = reply.json();
    assert_eq!(
        body["output"]["message"]["content"][0]["text"],
        "You said: Hello"
    );
    assert_eq!(
        body["usage"],
        json!({"inputTokens": 1, "outputTokens": 3, "totalTokens": 4, "serverToolUsage": {}})
    );
    assert!(reply.header("x-amzn-requestid").is_some());
    let route = reply.header("x-lintel-route");
    assert_eq!(route, Some("converse; reason=passthrough"));
    assert_eq!(reply.header("x-lintel-cost-usd"), Some("0.000032"));
    let reply = ask(&gateway, "sonnet", "invoke", &claude("Hello")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.json()["content"][0]["text"], "You said: Hello");
    let count = reply.header("x-amzn-bedrock-output-token-count");
    assert_eq!(count, Some("3"));
}

#[tokio::test]
async fn errors_have_the_form_of_aws() {
    let gateway = start().await;
    let converse = |model: &str| format!("/model/{model}/converse");
    let hello = say("Hello");
    for (secret, path, body, status, name) in [
        (
            "sk-wrong",
            converse("lite"),
            &hello,
            403,
            "UnrecognizedClientException",
        ),
        (
            KEY,
            converse("nobody"),
            &hello,
            404,
            "ResourceNotFoundException",
        ),
        (KEY, converse("%zz"), &hello, 400, "ValidationException"),
        (
            KEY,
            converse("chosen"),
            &hello,
            404,
            "ResourceNotFoundException",
        ),
        (
            KEY,
            converse("lite"),
            &say("[simulate throttle]"),
            429,
            "ThrottlingException",
        ),
        (
            KEY,
            converse("lite"),
            &say("[simulate internal]"),
            500,
            "InternalServerException",
        ),
        (
            KEY,
            converse("lite"),
            &say("[simulate model-error]"),
            424,
            "ModelErrorException",
        ),
        (
            KEY,
            "/model/lite/unknown".to_owned(),
            &hello,
            404,
            "ResourceNotFoundException",
        ),
        (
            KEY,
            converse("lite"),
            &say("[simulate unavailable]"),
            503,
            "ServiceUnavailableException",
        ),
        (
            KEY,
            converse("lite"),
            &say("[simulate validation]"),
            400,
            "ValidationException",
        ),
        (
            KEY,
            converse("lite"),
            &json!({"messages": 5}),
            400,
            "ValidationException",
        ),
        (
            KEY,
            converse("lite"),
            &json!({"made_up": 5}),
            400,
            "ValidationException",
        ),
    ] {
        let reply = call(&gateway, secret, &path, body).await;
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.text());
        assert_eq!(error_type(&reply), name, "{path} {body}");
        assert!(!reply.text().contains("arn:aws"), "{}", reply.text());
    }
    let request = gateway.request(http::Method::GET, &converse("lite"));
    let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
    let shown = (reply.status.as_u16(), error_type(&reply));
    assert_eq!(shown, (405, "ValidationException"));
    let wrong = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "additionalModelRequestFields": {"max_tokens": 5}});
    let reply = ask(&gateway, "lite", "converse", &wrong).await;
    let member = "additionalModelRequestFields.max_tokens: ";
    assert!(reply.text().contains(member), "{}", reply.text());
}

#[tokio::test]
async fn limits_and_permissions_of_keys_apply() {
    let gateway = start().await;
    let reply = ask(&gateway, "limited", "converse", &say("Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(reply.header("x-ratelimit-remaining-requests").is_some());
    let reply = ask(&gateway, "limited", "converse-stream", &say("Hi")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(error_type(&reply), "ThrottlingException");
    assert!(reply.header("retry-after").is_some());
    let (id, secret) = crate::support::money::key(&gateway, json!({"models": ["sonnet"]})).await;
    let path = "/model/lite/converse";
    let reply = call(&gateway, &secret, path, &say("Hi")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text());
    assert_eq!(error_type(&reply), "AccessDeniedException");
    let path = "/model/sonnet/converse";
    let reply = call(&gateway, &secret, path, &say("Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let path = format!("/admin/keys/{id}");
    let (status, _) = gateway
        .administer(http::Method::DELETE, &path, &Value::Null)
        .await;
    assert!(status.is_success(), "{status}");
    let reply = call(&gateway, &secret, "/model/sonnet/converse", &say("Hi")).await;
    assert_eq!(error_type(&reply), "UnrecognizedClientException");
}

#[tokio::test]
async fn calls_are_in_the_metrics() {
    let gateway = start().await;
    ask(&gateway, "lite", "converse-stream", &say("Hi")).await;
    let (_, metrics) = gateway.admin("/metrics").await;
    let has = |line: &str, part: &str| line.contains(part);
    assert!(
        metrics
            .lines()
            .any(|line| has(line, "/model/{id}/converse-stream") && has(line, "200")),
        "{metrics}"
    );
}
