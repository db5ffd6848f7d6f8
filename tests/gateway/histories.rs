//! Histories as clients keep them: aborted answers, legacy calls, marks of caches, prefills.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, user};

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

/// Was a 400 for a message without content.
#[tokio::test]
async fn empty_assistant_messages_are_dropped_and_their_neighbors_merged() {
    let gateway = Gateway::start().await;
    for aborted in [
        json!({"role": "assistant"}),
        json!({"role": "assistant", "content": null}),
        json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": []}),
        json!({"role": "assistant", "content": ""}),
        json!({"role": "assistant", "content": " \n"}),
        json!({"role": "assistant", "content": []}),
        json!({"role": "assistant", "content": [{"type": "text", "text": ""}], "function_call": null}),
        json!({"role": "assistant", "content": [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]}),
    ] {
        for tail in [json!([]), json!([{"role": "user", "content": "Again"}])] {
            let mut request = user("Hi");
            let messages = request["messages"].as_array_mut().unwrap();
            messages.push(aborted.clone());
            messages.extend(tail.as_array().unwrap().clone());
            let reply = gateway.chat(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{aborted}: {}", reply.text());
            let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
            assert_eq!(
                warnings,
                "messages[1]: dropped (the assistant message is empty)"
            );
            let sent = gateway.bodies().pop().unwrap()["messages"].clone();
            let mut turn = vec![json!({"text": "Hi"})];
            turn.extend(tail.get(0).map(|_| json!({"text": "Again"})));
            assert_eq!(
                sent,
                json!([{"role": "user", "content": turn}]),
                "{aborted}"
            );
        }
    }
}

#[tokio::test]
async fn aborted_reasoning_is_dropped() {
    let gateway = Gateway::start().await;
    let request = json!({"model": HAIKU, "reasoning_effort": "low", "messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "reasoning_content": "Hm"}, {"role": "user", "content": "Again"}]});
    let reply = gateway.any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.bodies().pop().unwrap()["messages"].clone();
    assert_eq!(
        sent,
        json!([{"role": "user", "content": [{"text": "Hi"}, {"text": "Again"}]}])
    );
}

/// Was sent to Bedrock, which rejects an empty name.
#[tokio::test]
async fn calls_in_histories_are_checked_in_their_legacy_form_too() {
    let gateway = Gateway::start().await;
    let deep = "[".repeat(500);
    let call = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    for (role, member, value, param) in [
        (
            "assistant",
            "function_call",
            call("", "{}"),
            "messages[1].function_call.name",
        ),
        (
            "assistant",
            "function_call",
            call("f", &deep),
            "messages[1].function_call.arguments",
        ),
        (
            "user",
            "function_call",
            call("f", "{}"),
            "messages[1].function_call",
        ),
        (
            "assistant",
            "tool_calls",
            json!([{"id": "", "type": "function", "function": {"name": "f"}}]),
            "messages[1].tool_calls[0].id",
        ),
    ] {
        let mut request = user("Hi");
        let message = json!({"role": role, "content": "x", member: value});
        request["messages"].as_array_mut().unwrap().push(message);
        assert_eq!(gateway.chat(&request).await.error()["param"], param);
    }
}

fn content(reply: &crate::support::Reply, stream: bool) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !stream {
        return text(&reply.json()["choices"][0]["message"]["content"]);
    }
    let events = reply.events();
    let chunks = events.iter().filter(|event| **event != "[DONE]");
    let chunks = chunks.map(|event| serde_json::from_str::<Value>(event).unwrap());
    chunks
        .map(|chunk| text(&chunk["choices"][0]["delta"]["content"]))
        .collect()
}

/// Was `{{"said": …}`, and with a fence `{` and the fence.
#[tokio::test]
async fn json_that_begins_anew_after_the_prefilled_brace_has_one_brace() {
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        for said in ["Hi", "[simulate anew json]", "[simulate anew fence]"] {
            let request = json!({"model": HAIKU, "messages": [{"role": "user", "content": said}], "stream": stream,
                                 "response_format": {"type": "json_object"}});
            let reply = gateway.any(&request).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let prefill = &gateway.bodies().pop().unwrap()["messages"][1];
            assert_eq!(prefill["content"], json!([{"text": "{"}]));
            let content = content(&reply, stream);
            let answer: Value = serde_json::from_str(&content)
                .unwrap_or_else(|error| panic!("{said}, {stream}: {error}: {content}"));
            assert!(answer["said"].is_string());
        }
        let request = json!({"model": HAIKU, "stream": stream, "response_format": {"type": "json_object"},
                             "messages": [{"role": "user", "content": "[simulate anew prose]"}]});
        let content = content(&gateway.any(&request).await, stream);
        assert!(content.starts_with("Here it is:"), "{content}");
    }
}

/// Was "pdf", which says nothing, and the same for every file.
#[tokio::test]
async fn kept_file_names_are_unique_and_never_the_extension_alone() {
    let more = format!("[models.named]\ntarget = \"{HAIKU}\"\nfile_names = \"keep\"\n");
    let gateway = Gateway::start_with(&more).await;
    let file = |name: &str, data: &str| json!({"type": "file", "file": {"filename": name, "file_data": data}});
    let pdf = "data:application/pdf;base64,JVBERi0xLjQK";
    let content = json!([
        file("報告.pdf", pdf),
        file("報告.pdf", pdf),
        file("Q3 report.pdf", pdf)
    ]);
    let request = json!({"model": "named", "messages": [{"role": "user", "content": content}]});
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.bodies().pop().unwrap();
    let blocks = sent["messages"][0]["content"].as_array().unwrap();
    let names: Vec<&str> = blocks
        .iter()
        .filter_map(|block| block["document"]["name"].as_str())
        .collect();
    assert!(
        names[0].starts_with("document-") && names[0].ends_with(" pdf"),
        "{names:?}"
    );
    assert_eq!(names[1], format!("{}-2", names[0]));
    assert_eq!(names[2], "Q3 report pdf");
}

/// Were sent as they are, and Bedrock rejected the whole request.
#[tokio::test]
async fn arguments_that_only_fit_the_grammar_of_json_are_sent_as_text() {
    let gateway = Gateway::start().await;
    for arguments in [r#"{"a":"\ud83d"}"#, r#"{"a":1e999}"#] {
        let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let request = json!({"model": HAIKU, "messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "x"}]});
        let reply = gateway.any(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let body = gateway.bodies().pop().unwrap();
        let input = &body["messages"][1]["content"][0]["toolUse"]["input"];
        assert_eq!(input, &json!({"_raw": arguments}));
    }
}
