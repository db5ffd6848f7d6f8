//! Several answers to one request, of which one fails: the others are billed, so their usage is read and booked.

use serde_json::{Value, json};

use crate::support::{
    Gateway,
    endpoints::COMPLETIONS,
    money::{SETTINGS, booked, budget, key, nano, standing},
};

/// Streams an answer of 300 words beside one that fails, and returns the reply's text and what was settled.
async fn streamed_beside(failing: &str) -> (Gateway, String, i64) {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = json!({
        "model": "priced", "stream": true, "max_tokens": 1000,
        "prompt": ["[simulate words 300] [simulate pace 1ms]", failing],
    });
    let reply = gateway.ask(COMPLETIONS, &secret, &request).await;
    gateway
        .until(async || !booked(&gateway, &id).await.is_empty())
        .await;
    let (settled, reserved) = standing(&gateway, &id).await;
    assert_eq!(reserved, "0");
    (gateway, reply.text().to_owned(), nano(&settled))
}

#[tokio::test]
async fn a_stream_beside_one_that_fails_at_once_is_booked_as_billed() {
    let (gateway, text, settled) = streamed_beside("[simulate validation]").await;
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["error"]["type"], "invalid_request_error", "{text}");
    let (input, output) = gateway.billed();
    assert_eq!(output, 300);
    assert_eq!(settled, input * 2000 + output * 10_000);
}

#[tokio::test]
async fn a_stream_beside_one_that_breaks_is_read_to_its_end() {
    let (_gateway, text, settled) = streamed_beside("one two three four [simulate cut]").await;
    assert!(text.contains("upstream_truncated"), "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
    assert!(settled >= 300 * 10_000, "{settled}");
}
