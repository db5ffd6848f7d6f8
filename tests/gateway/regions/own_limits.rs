//! What a client does not wait for is no failure of a region.

use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use crate::support::regions::{Regions, ask};

const SETTINGS: &str = r#"
    [models.hurried]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    max_tokens = 100
    resume = true
    [models.hurried-pair]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    regions = ["us-east-1", "us-west-2"]
    max_tokens = 100
    resume = true
"#;

fn hurried(model: &str, text: &str) -> Value {
    let mut request = ask(model, text);
    request["stream"] = true.into();
    request["timeout"] = json!(0.4);
    request
}

/// Two further requests were sent to regions that were well, and all three were paid for.
#[tokio::test]
async fn answer_that_the_client_does_not_wait_for_is_not_continued() {
    let regions = Regions::start(SETTINGS).await;
    let request = hurried("hurried-pair", "[simulate words 9] [simulate stall]");
    let reply = regions.gateway.chat(&request).await;
    let text = "for 0.4 s (the request's own limit); the answer is incomplete.";
    assert!(reply.text().contains(text), "{}", reply.text());
    assert!(!reply.text().contains("[DONE]"));
    assert_eq!(regions.received(), [1, 0, 0]);
}

/// Five such requests opened the breaker for all clients.
#[tokio::test]
async fn continuation_that_the_client_does_not_wait_for_opens_no_breaker() {
    let regions = Regions::start(SETTINGS).await;
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": "You"}});
    for _ in 0..6 {
        regions.east.script(ScriptedReply::stream(vec![
            encode_event("messageStart", r#"{"role":"assistant"}"#),
            encode_event("contentBlockDelta", &delta.to_string()),
        ]));
        let request = hurried("hurried", "[simulate slow 10s] Hello");
        let reply = regions.gateway.chat(&request).await;
        assert!(!reply.text().contains("[DONE]"), "{}", reply.text());
    }
    assert_eq!(regions.received(), [12, 0, 0]);
    let reply = regions.gateway.chat(&ask("hurried", "Hello")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let (_, metrics) = regions.gateway.admin("/metrics").await;
    let gauge = "lintel_breaker_state{region=\"us-east-1\",model=\"hurried\"} 0";
    assert!(metrics.contains(gauge), "{metrics}");
}
