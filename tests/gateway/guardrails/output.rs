//! Answers: judged whole or in windows, masked, cut, and withheld if the guardrail gives no verdict.

use serde_json::{Value, json};

use super::{MESSAGE, asking, judged, receive, sent, settings, start};
use crate::support::{Gateway, sha256};

#[tokio::test]
async fn a_blocked_answer_is_replaced_by_the_message() {
    for stream in [false, true] {
        let gateway = start().await;
        let received = receive(&gateway, &asking("output", "Say smuggled.", stream)).await;
        assert_eq!(
            (received.content.as_str(), &received.finish),
            (MESSAGE, &json!("content_filter"))
        );
        assert!(received.is_complete);
        let usage = received.member("usage");
        assert!(
            usage["completion_tokens"].as_u64().unwrap() > 0,
            "the model answered: {usage}"
        );
        assert!(
            usage.get("estimated").is_none(),
            "the rest of the stream was read"
        );
        let trace = received.member("bedrock_guardrail");
        assert!(
            trace["outputAssessments"]["abc123"][0]["wordPolicy"].is_object(),
            "{trace}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_judged_in_windows_that_end_at_words() {
    let gateway = start().await;
    let text = "[simulate words 700]";
    let mut request = asking("output", text, true);
    request["max_tokens"] = json!(1000);
    let streamed = receive(&gateway, &request).await;
    let windows: Vec<String> = judged(&gateway)
        .into_iter()
        .map(|(source, mut texts)| {
            assert_eq!((source.as_str(), texts.len()), ("OUTPUT", 1));
            texts.remove(0)
        })
        .collect();
    let mut content = String::new();
    for window in &windows {
        // A window begins with the tail of the one before it.
        let repeated = (0..=200.min(content.len()))
            .rev()
            .find(|len| window.starts_with(&content[content.len() - len..]));
        content.push_str(&window[repeated.unwrap()..]);
    }
    assert_eq!(windows.len(), 5, "3499 characters");
    assert_eq!(content.len(), streamed.content.len(), "nothing is left out");
    let (last, full) = windows.split_last().unwrap();
    for window in full {
        assert!((800..=1000).contains(&window.len()), "{}", window.len());
    }
    assert!(windows.iter().all(|window| !window.ends_with("wor")) && !last.is_empty());
    let whole = receive(&gateway, &{
        let mut request = asking("output", text, false);
        request["max_tokens"] = json!(1000);
        request
    })
    .await;
    assert_eq!(whole.content, streamed.content);
    assert_eq!(judged(&gateway).len(), 6, "one request for a whole answer");
}

#[tokio::test]
async fn a_stream_ends_at_the_window_that_is_blocked() {
    let gateway = start().await;
    let text = format!("{} smuggled {}", "word ".repeat(300), "more ".repeat(1000));
    let mut request = asking("output", &text, true);
    request["max_tokens"] = json!(4000);
    let received = receive(&gateway, &request).await;
    assert_eq!(received.finish, "content_filter");
    let (before, after) = received
        .content
        .split_at(received.content.len() - MESSAGE.len());
    assert_eq!(after, MESSAGE);
    assert!(
        before.starts_with("You said: word") && before.len() > 600,
        "{before}"
    );
    assert!(!before.contains("smuggled"), "{before}");
    assert_eq!(judged(&gateway).len(), 2, "nothing is judged after the end");
    assert!(received.is_complete && received.member("usage")["cost"].is_number());
}

#[tokio::test]
async fn masks_replace_the_text_of_their_window() {
    for stream in [false, true] {
        let gateway = start().await;
        let text = format!("secret-a1 {} secret-b2", "word ".repeat(300));
        let received = receive(&gateway, &asking("output", &text, stream)).await;
        let expected = format!("You said: {{SECRET}} {} {{SECRET}}", "word ".repeat(300));
        assert_eq!(received.content, expected, "stream: {stream}");
        assert_eq!(received.finish, "stop");
    }
}

#[tokio::test]
async fn tool_calls_keep_their_order_and_are_not_judged() {
    for stream in [false, true] {
        let gateway = start().await;
        let mut request = asking("output", "Use lookup.", stream);
        request["tools"] = json!([{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}}]);
        let received = receive(&gateway, &request).await;
        assert_eq!(received.finish, "tool_calls");
        let text: String = received.chunks.iter().map(Value::to_string).collect();
        assert!(text.contains("\"name\":\"lookup\""), "{text}");
        assert!(judged(&gateway).is_empty(), "arguments are not text");
    }
}

#[tokio::test]
async fn every_choice_is_judged() {
    for stream in [false, true] {
        let gateway = start().await;
        let mut request = asking("output", "Say smuggled.", stream);
        request["n"] = json!(2);
        let received = receive(&gateway, &request).await;
        assert!(received.is_complete);
        let text: String = received.chunks.iter().map(Value::to_string).collect();
        assert_eq!(text.matches("\"content_filter\"").count(), 2, "{text}");
        assert!(!text.contains("Say smuggled"), "{text}");
        assert_eq!(judged(&gateway).len(), 2);
    }
}

#[tokio::test]
async fn an_answer_without_a_verdict_is_withheld() {
    let gateway = start().await;
    let whole = gateway
        .chat(&asking("output", "[simulate apply unavailable]", false))
        .await;
    assert_eq!(whole.status, 503, "{}", whole.text());
    let mut request = asking("output", "", true);
    request["messages"][0]["content"] = json!(format!(
        "{}[simulate apply unavailable]",
        "word ".repeat(400)
    ));
    let received = receive(&gateway, &request).await;
    assert!(!received.is_complete, "no [DONE]");
    assert_eq!(received.member("error")["code"], "upstream_unavailable");
    assert!(received.content.starts_with("You said: word"));
    assert!(
        !received.content.contains("simulate"),
        "{}",
        received.content
    );
}

#[tokio::test]
async fn answers_are_checked_against_the_passages() {
    for stream in [false, true] {
        let gateway = Gateway::start_with(&format!(
            "{}\n[keys.reader]\nsha256 = \"{}\"\nknowledge_bases = [\"*\"]",
            settings(),
            sha256("sk-test-reader")
        ))
        .await;
        let results =
            json!({"retrievalResults": [{"content": {"text": "<ungrounded> text"}, "score": 0.9}]});
        gateway
            .simulator
            .script(lintel::simulator::ScriptedReply::json(
                200,
                results.to_string(),
            ));
        let mut request = asking("output", "What?", stream);
        request["kb"] = json!("docs");
        let reply = gateway.as_key("sk-test-reader", &request).await;
        assert!(
            reply.text().contains("\"content_filter\""),
            "{}",
            reply.text()
        );
        assert!(
            reply.text().contains("contextualGroundingPolicy"),
            "the trace"
        );
        let content = sent(&gateway, "/apply")[0]["content"].clone();
        assert_eq!(content[0]["text"]["qualifiers"], json!(["guard_content"]));
        let expected = json!([
            {"text": {"text": "<ungrounded> text", "qualifiers": ["grounding_source"]}},
            {"text": {"text": "What?", "qualifiers": ["query"]}},
        ]);
        assert_eq!(
            json!(content.as_array().unwrap()[1..]),
            expected,
            "the passages as they are"
        );
    }
}
