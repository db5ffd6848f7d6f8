//! `max_tokens = "auto"`: the limit of the output that a request gets if it sets none.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Gateway, KEY,
    money::{booked, budget, key, nano, of, standing},
    streamed, user,
};

/// Prices of $2 and $10 per million tokens: the automatic limit of `long` costs $0.32768, and 4096 tokens cost $0.04096.
const SETTINGS: &str = r#"
    [defaults]
    max_tokens = "auto"
    [models.long]
    target = "us.anthropic.claude-sonnet-4-6"
    price = { input = 2.0, output = 10.0 }
    [models.medium]
    target = "amazon.nova-lite-v1:0"
    [models.short]
    target = "us.anthropic.claude-sonnet-4-6"
    max_tokens = 100
"#;

/// The `max_tokens` of each request that was sent, whatever its member.
fn limits(gateway: &Gateway) -> Vec<u64> {
    let limit = |body: &Value| {
        let config = &body["inferenceConfig"];
        let members = [
            &config["maxTokens"],
            &config["max_new_tokens"],
            &body["max_tokens"],
        ];
        members.iter().find_map(|member| member.as_u64()).unwrap()
    };
    gateway.bodies().iter().map(limit).collect()
}

#[tokio::test]
async fn automatic_limit_is_the_maximum_of_the_model_within_32768_tokens() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let text = json!([{"role": "user", "content": [{"text": "Hi"}]}]);
    for (model, expected) in [("long", 32_768), ("medium", 10_000), ("short", 100)] {
        let chat = gateway.chat(&of(model, user("Hi"))).await;
        let body = json!({"model": model, "prompt": "Hi"});
        let completion = gateway.complete(&body).await;
        let body = json!({"model": model, "input": "Hi"});
        let response = gateway.ask("/v1/responses", KEY, &body).await;
        let path = format!("/model/{model}/converse");
        let sdk = gateway.ask(&path, KEY, &json!({"messages": text})).await;
        for reply in [chat, completion, response, sdk] {
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
            assert!(!warnings.contains("max_"), "{model}: {warnings}");
        }
        let sent = limits(&gateway);
        assert_eq!(sent[sent.len() - 4..], [expected; 4], "{model}");
    }
}

#[tokio::test]
async fn long_answer_is_not_cut_off() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let reply = gateway
        .chat(&of("long", user("[simulate words 9000]")))
        .await;
    let reply = reply.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert!(reply["usage"]["completion_tokens"].as_u64().unwrap() > 8000);
}

#[tokio::test]
async fn answer_that_a_limit_of_the_gateway_cuts_off_says_so() {
    const CUT: &str = "the answer was cut off at 100 tokens (a limit of this gateway";
    let gateway = Gateway::start_with(SETTINGS).await;
    let whole = gateway
        .chat(&of("short", user("[simulate words 200]")))
        .await;
    assert_eq!(whole.json()["choices"][0]["finish_reason"], "length");
    let warnings = whole.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains(&format!("max_tokens: {CUT}")),
        "{warnings}"
    );

    let mut stream = of("short", streamed("[simulate words 200]"));
    stream["stream_options"] = json!({"include_warnings": true});
    let stream = gateway.chat(&stream).await;
    assert!(stream.text().contains(r#""finish_reason":"length""#));
    assert!(stream.text().contains(CUT), "{}", stream.text());

    let body = json!({"model": "short", "input": "[simulate words 200]"});
    let response = gateway.ask("/v1/responses", KEY, &body).await;
    let details = &response.json()["incomplete_details"];
    assert_eq!(details["reason"], "max_output_tokens");
    let warnings = response.header("x-lintel-warnings").unwrap();
    let expected = format!("max_output_tokens: {CUT}");
    assert!(warnings.contains(&expected), "{warnings}");

    let mut own = of("short", user("[simulate words 200]"));
    own["max_tokens"] = 100.into();
    let own = gateway.chat(&own).await;
    assert_eq!(own.json()["choices"][0]["finish_reason"], "length");
    assert_eq!(own.header("x-lintel-warnings"), None, "the client's limit");
}

#[tokio::test]
async fn answer_that_the_maximum_of_the_model_cuts_off_has_no_warning() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let request = of("medium", user("[simulate words 20000]"));
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
    assert_eq!(reply.header("x-lintel-warnings"), None);
}

#[tokio::test]
async fn budget_that_admits_only_a_smaller_limit_gets_what_answers_need() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(0.445)).await;
    let ask = async |text: &str| gateway.as_key(&secret, &of("long", user(text))).await;
    // Each costs $0.06 and a little.
    for _ in 0..2 {
        let reply = ask("[simulate words 6000]").await;
        assert_eq!(reply.json()["choices"][0]["finish_reason"], "stop");
        assert_eq!(reply.header("x-lintel-warnings"), None);
    }
    // Less than $0.325 are left.
    let reply = ask("[simulate words 6500]").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("max_tokens: 8000 was sent instead of the default (a budget"),
        "{warnings}"
    );
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "stop");
    assert_eq!(limits(&gateway), [32_768, 32_768, 8000]);
    // One that is cut off says where.
    let reply = ask("[simulate words 12000]").await;
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("was cut off at"), "{warnings}");
    let (settled, reserved) = standing(&gateway, &id).await;
    assert_eq!(reserved, "0");
    assert!(nano(&settled) <= nano("0.445"), "{settled}");
    let booked = booked(&gateway, &id).await;
    assert_eq!((booked[0].0.as_str(), booked[0].1), ("actual", 4));
}

/// The limit of a key without answers is 4096 tokens, as much as every request needed before the limit was automatic.
#[tokio::test]
async fn small_budgets_and_limits_admit_what_they_admitted_with_4096_tokens() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, secret) = key(&gateway, budget(0.05)).await;
    let reply = gateway.as_key(&secret, &of("long", user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());

    let mut capped = of("long", user("Hi"));
    capped["max_cost_usd"] = json!(0.05);
    let reply = gateway.chat(&capped).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());

    // Reasoning adds to the limit, which the client did not set.
    let mut reasoning = of("long", user("Hi"));
    reasoning["reasoning_effort"] = "high".into();
    reasoning["max_cost_usd"] = json!(0.05);
    let reply = gateway.chat(&reasoning).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());

    let (_, secret) = key(&gateway, budget(0.05)).await;
    let text = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]});
    let reply = gateway.ask("/model/long/converse", &secret, &text).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(limits(&gateway), [4096; 4]);

    let limits = json!({"limits": {"max_request_tokens": 4200, "tokens_per_minute": 5000}});
    let (_, secret) = key(&gateway, limits).await;
    let reply = gateway.as_key(&secret, &of("long", user("Hi"))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn budget_for_less_than_4096_tokens_rejects_with_what_would_fit() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (_, secret) = key(&gateway, budget(0.01)).await;
    let rejected = gateway.as_key(&secret, &of("long", user("Hi"))).await;
    let error = rejected.error();
    assert_eq!(error["code"], "insufficient_quota");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("may cost $0.32"), "{message}");
    assert!(message.contains("would fit"), "{message}");
    assert_eq!(rejected.header("x-lintel-warnings"), None);
    assert!(gateway.simulator.received().is_empty());
}
