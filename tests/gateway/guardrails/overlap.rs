//! What crosses the end of a part is judged as a whole: blocked words, phrases and secrets.

use serde_json::json;

use super::{MESSAGE, asking, receive, sent, start};
use crate::support::{ANY_KEY, endpoints::EMBEDDINGS};

/// Texts that end with `word`, of which the first part of `length` characters contains less and less.
fn across(word: &str, length: usize, fill: &str) -> Vec<String> {
    (1..word.len())
        .step_by(3)
        .map(|inside| {
            let before = fill.repeat(length.div_ceil(fill.chars().count()));
            let before: String = before.chars().take(length - inside).collect();
            format!("{before}{word}")
        })
        .collect()
}

#[tokio::test]
async fn a_blocked_word_across_the_parts_of_an_input_reaches_no_model() {
    let gateway = start().await;
    // Was sent to the model: the input was cut after 10,000 characters without an overlap.
    for length in [10_000, 20_000] {
        for text in across("contraband", length, "x") {
            let received = receive(&gateway, &asking("input", &text, false)).await;
            assert_eq!(received.finish, "content_filter", "{length}");
            let request = json!({"model": "vectors", "input": text});
            let embedded = gateway.ask(EMBEDDINGS, ANY_KEY, &request).await;
            assert_eq!(embedded.error()["code"], "content_filter", "{length}");
        }
    }
    assert!(sent(&gateway, "/converse").is_empty() && sent(&gateway, "/invoke").is_empty());
}

#[tokio::test]
async fn a_blocked_word_across_the_parts_of_an_answer_reaches_no_client() {
    let gateway = start().await;
    let own = "You said: ".len();
    // The client received `smuggled` in two parts.
    for (stream, length, fill) in [
        (true, 1000, "x"),
        (false, 5000, "x"),
        (true, 1000, "漢字漢字漢字漢字漢。"),
    ] {
        for text in across("smuggled", length - own, fill) {
            let mut request = asking("output", &text, stream);
            request["max_tokens"] = json!(3000);
            let received = receive(&gateway, &request).await;
            assert_eq!(received.finish, "content_filter", "{stream} {length}");
            assert!(received.content.ends_with(MESSAGE), "{}", received.content);
            assert!(!received.content.contains("smu"), "{}", received.content);
        }
    }
}

#[tokio::test]
async fn a_secret_across_two_parts_is_masked_completely() {
    let gateway = start().await;
    let own = "You said: ".len();
    // Was `{SECRET}hij`, or nothing was masked.
    for (stream, length) in [(true, 1000), (false, 5000)] {
        // Another mask shifts the positions behind it.
        for first in ["", "secret-a1 "] {
            for text in across("secret-abcdefghij", length - own - first.len(), "x") {
                let mut request = asking("output", &format!("{first}{text}"), stream);
                request["max_tokens"] = json!(3000);
                let received = receive(&gateway, &request).await;
                let expected = format!("You said: {first}{text}")
                    .replace("secret-abcdefghij", "{SECRET}")
                    .replace("secret-a1", "{SECRET}");
                assert_eq!(received.content, expected, "{stream}");
            }
        }
    }
    for length in [10_000, 20_000] {
        let text = across("secret-abcdefghij", length - 10, "x").swap_remove(3);
        receive(
            &gateway,
            &asking("input", &format!("secret-a1 {text}"), false),
        )
        .await;
        let body = sent(&gateway, "/converse").pop().unwrap();
        let expected = format!(
            "{{SECRET}} {}",
            text.replace("secret-abcdefghij", "{SECRET}")
        );
        assert_eq!(body["messages"][0]["content"][0]["text"], expected);
    }
}
