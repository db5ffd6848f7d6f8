//! Streamed text completions.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::prompt;
use crate::support::{Gateway, Reply};

fn streamed(prompts: impl Into<Value>) -> Value {
    let mut request = prompt(prompts);
    request["stream"] = true.into();
    request
}

/// The chunks of a complete stream, without its `[DONE]`.
fn chunks(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let events = reply.events();
    let (last, before) = events.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    let chunks = before.iter().map(|event| serde_json::from_str(event));
    chunks.collect::<Result<_, _>>().unwrap()
}

/// The text and the finish reason of each choice, which comes once, after all text.
fn choices(chunks: &[Value]) -> BTreeMap<u64, (String, String)> {
    let mut texts: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for chunk in chunks {
        assert_eq!(chunk["object"], "text_completion");
        assert_eq!(chunk["id"], chunks[0]["id"], "one id for all chunks");
        assert_eq!(chunk["created"], chunks[0]["created"]);
        assert_eq!(chunk["model"], "claude");
        for choice in chunk["choices"].as_array().unwrap() {
            let (text, end) = texts.entry(choice["index"].as_u64().unwrap()).or_default();
            assert!(end.is_empty(), "nothing follows a finish reason");
            assert_eq!(choice["logprobs"], Value::Null);
            text.push_str(choice["text"].as_str().unwrap());
            end.push_str(choice["finish_reason"].as_str().unwrap_or_default());
        }
    }
    assert!(texts.values().all(|(_, end)| !end.is_empty()));
    texts
}

#[tokio::test]
async fn a_stream_is_chunks_of_text_completions_and_one_done() {
    let gateway = Gateway::start().await;
    let reply = gateway.complete(&streamed("one two three")).await;
    let chunks = chunks(&reply);
    assert!(chunks.len() > 2, "the text comes in pieces");
    assert!(chunks[0]["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(
        choices(&chunks)[&0],
        ("You said: one two three".to_owned(), "stop".to_owned())
    );
    assert!(
        chunks.iter().all(|chunk| chunk.get("usage").is_none()),
        "usage comes only if it is asked for"
    );
    assert_eq!(reply.text().matches("[DONE]").count(), 1);
    let path = &gateway.sent().path;
    assert!(path.ends_with("/converse-stream"), "{path}");
}

#[tokio::test]
async fn usage_comes_last_and_once_if_it_is_asked_for() {
    let gateway = Gateway::start().await;
    let mut request = streamed(json!(["one two", "three"]));
    request["seed"] = 1.into();
    request["stream_options"] = json!({"include_usage": true, "include_warnings": true});
    let chunks = chunks(&gateway.complete(&request).await);
    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    let warnings = last["x_lintel_warnings"].as_array().unwrap();
    assert!(
        warnings
            .iter()
            .any(|text| text.as_str().unwrap().starts_with("seed: "))
    );
    let (input, output) = gateway.billed();
    assert_eq!(last["usage"]["prompt_tokens"], input);
    assert_eq!(last["usage"]["completion_tokens"], output);
    for chunk in before {
        assert_eq!(chunk.get("usage"), Some(&Value::Null), "as OpenAI does");
    }
    assert_eq!(choices(&chunks).len(), 2);
}

#[tokio::test]
async fn choices_of_several_prompts_are_told_apart_by_their_index() {
    let gateway = Gateway::start().await;
    let mut request = streamed(json!([
        "a b c [simulate pace 2ms]",
        "d",
        "e [simulate words 9]"
    ]));
    request["n"] = 2.into();
    let texts = choices(&chunks(&gateway.complete(&request).await));
    request["stream"] = false.into();
    let whole = gateway.complete(&request).await.json();
    let whole: BTreeMap<u64, (String, String)> = whole["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| {
            let text = |member: &str| choice[member].as_str().unwrap().to_owned();
            (
                choice["index"].as_u64().unwrap(),
                (text("text"), text("finish_reason")),
            )
        })
        .collect();
    assert_eq!(texts, whole, "whole and streamed answers are the same");
    assert_eq!(texts.len(), 6);
}

#[tokio::test]
async fn a_stream_that_breaks_has_one_error_event_and_no_done() {
    let gateway = Gateway::start().await;
    for (fault, code) in [
        ("cut", "upstream_truncated"),
        ("no-stop", "upstream_truncated"),
        ("bad-crc", "upstream_checksum"),
        ("exception throttlingException", "rate_limit_exceeded"),
    ] {
        let text = format!("one two three four five six [simulate {fault}]");
        // Alone, and while another prompt is answered.
        for prompts in [
            json!(text),
            json!([text, "[simulate words 30] [simulate pace 5ms]"]),
        ] {
            let mut request = streamed(prompts);
            request["stream_options"] = json!({"include_usage": true});
            let reply = gateway.complete(&request).await;
            let events = reply.events();
            let (last, before) = events.split_last().unwrap();
            let error: Value = serde_json::from_str(last).unwrap();
            assert_eq!(error["error"]["code"], code, "{fault}: {last}");
            assert_eq!(error["error"].as_object().unwrap().len(), 4);
            assert!(!reply.text().contains("[DONE]"), "{fault}");
            assert!(!before.is_empty());
            for event in before {
                let chunk: Value = serde_json::from_str(event).unwrap();
                assert_eq!(chunk.get("error"), None);
                assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null, "{fault}");
            }
        }
    }
}

#[tokio::test]
async fn a_limit_ends_a_streamed_choice_with_length() {
    let gateway = Gateway::start().await;
    let mut request = streamed("[simulate words 50]");
    request["max_tokens"] = 5.into();
    let chunks = chunks(&gateway.complete(&request).await);
    let (_, end) = &choices(&chunks)[&0];
    assert_eq!(end, "length");
}

#[tokio::test]
async fn a_model_that_cannot_stream_is_asked_for_the_whole_answer() {
    let settings = "[models.mute]\ntarget = \"ai21.j2-mid-v1\"";
    let gateway = Gateway::start_with(settings).await;
    let mut request = streamed("one two three");
    request["model"] = "mute".into();
    let reply = gateway.complete(&request).await;
    assert_eq!(
        reply.header("x-lintel-route"),
        Some("converse; reason=stream_not_offered")
    );
    assert!(gateway.sent().path.ends_with("/converse"));
    let events = reply.events();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    let first: Value = serde_json::from_str(events[0]).unwrap();
    assert_eq!(first["choices"][0]["text"], "You said: one two three");
}
