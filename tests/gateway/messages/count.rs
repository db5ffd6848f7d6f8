//! `POST /v1/messages/count_tokens`.

use http::StatusCode;
use serde_json::json;

use super::{last_sent, message};
use crate::support::{
    ANY_KEY, Gateway,
    endpoints::{MESSAGES, MESSAGES_COUNT_TOKENS},
    money::of,
    sha256,
};

#[tokio::test]
async fn count_is_what_a_message_would_be_billed() {
    let settings = "[models.haiku]\ntarget = \"us.anthropic.claude-haiku-4-5-20251001-v1:0\"\n";
    let gateway = Gateway::start_with(settings).await;
    let mut request = of("haiku", message("One two three"));
    request["system"] = "Be brief".into();
    request["tools"] = json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}]);
    let billed = gateway.ask(MESSAGES, ANY_KEY, &request).await.json();
    request.as_object_mut().unwrap().remove("max_tokens");
    let counted = gateway.ask(MESSAGES_COUNT_TOKENS, ANY_KEY, &request).await;
    assert_eq!(counted.status, StatusCode::OK, "{}", counted.text());
    assert_eq!(
        counted.json(),
        json!({"input_tokens": billed["usage"]["input_tokens"]})
    );
    let body = last_sent(&gateway);
    assert_eq!(body["input"]["converse"]["system"][0]["text"], "Be brief");
}

#[tokio::test]
async fn model_that_bedrock_does_not_count_gets_an_upper_bound() {
    let gateway = Gateway::start().await;
    let request =
        json!({"model": "nova", "messages": [{"role": "user", "content": "foo"}], "tools": []});
    let counted = gateway.ask(MESSAGES_COUNT_TOKENS, ANY_KEY, &request).await;
    assert_eq!(counted.status, StatusCode::OK, "{}", counted.text());
    assert!(counted.json()["input_tokens"].as_u64().unwrap() >= 1);
}

/// Claude Code counts every part of its context at once.
#[tokio::test]
async fn counts_take_nothing_of_the_limits_of_messages() {
    let settings = format!(
        "[keys.limited]\nsha256 = \"{}\"\nlimits = {{ requests_per_minute = 1, burst = 1, in_flight = 1 }}\n",
        sha256("sk-test-limited")
    );
    let gateway = Gateway::start_with(&settings).await;
    let request = message("foo");
    let counts = (0..34).map(|_| gateway.ask(MESSAGES_COUNT_TOKENS, "sk-test-limited", &request));
    for counted in futures_util::future::join_all(counts).await {
        assert_eq!(counted.status, StatusCode::OK, "{}", counted.text());
    }
    let answered = gateway.ask(MESSAGES, "sk-test-limited", &request).await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.text());
    let refused = gateway.ask(MESSAGES, "sk-test-limited", &request).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
}
