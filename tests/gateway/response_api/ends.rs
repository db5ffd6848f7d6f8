//! How the items of GPT's own Responses end: cut off, without their last pieces, or with halves of characters.

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use super::{asking, events, items_of, last_response, streamed, with};
use crate::support::Gateway;

const SETTINGS: &str = r#"
    [models.gpt]
    target = "us.openai.gpt-5.6-sol"
    [models.lite]
    target = "amazon.nova-lite-v1:0"
"#;

fn request(model: &str) -> Value {
    let tool = json!({"type": "custom", "name": "patch"});
    with(
        with(asking("Go"), "tools", json!([tool])),
        "model",
        model.into(),
    )
}

/// The texts of these events as a stream.
fn stream(events: &[String]) -> ScriptedReply {
    let lines = events.iter().map(|event| format!("data: {event}\n\n"));
    let mut reply = ScriptedReply::stream(vec![Bytes::from(lines.collect::<String>())]);
    reply.headers = vec![("content-type".into(), "text/event-stream".into())];
    reply
}

fn custom(input: &str, status: &str) -> Value {
    json!({"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "patch",
        "input": input, "status": status})
}

fn response(output: &[Value], status: &str, cause: &str) -> Value {
    let details = match cause {
        "" => Value::Null,
        cause => json!({"reason": cause}),
    };
    json!({"id": "resp_1", "status": status, "output": output, "incomplete_details": details,
        "usage": {"input_tokens": 10, "output_tokens": 5}})
}

fn added(item: &Value) -> String {
    json!({"type": "response.output_item.added", "output_index": 0, "item": item}).to_string()
}

/// A piece of the input of a call, or of a text, as JSON text.
fn delta(of: &str, piece: &str) -> String {
    format!(r#"{{"type":"response.{of}.delta","output_index":0,"delta":"{piece}"}}"#)
}

fn done(item: &Value) -> String {
    json!({"type": "response.output_item.done", "output_index": 0, "item": item}).to_string()
}

fn end(response: &Value) -> String {
    let kind = format!("response.{}", response["status"].as_str().unwrap());
    json!({"type": kind, "response": response}).to_string()
}

const INPUT: &str = "custom_tool_call_input";

/// Sends the request as a stream that is answered with these events. Returns the response and the warnings.
async fn answered(gateway: &Gateway, model: &str, reply: ScriptedReply) -> (Value, String) {
    gateway.simulator.script(reply);
    let mut request = streamed(request(model));
    request["stream_options"] = json!({"include_warnings": true});
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let response = last_response(&events(&reply));
    let warnings = response["x_lintel_warnings"].to_string();
    (response, warnings)
}

/// Was a completed call with half of its input.
#[tokio::test]
async fn custom_call_that_the_limit_cuts_off_is_incomplete() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let cut = custom("ab", "incomplete");
    let whole = response(
        std::slice::from_ref(&cut),
        "incomplete",
        "max_output_tokens",
    );
    let events = [
        added(&custom("", "in_progress")),
        delta(INPUT, "ab"),
        done(&cut),
        end(&whole),
    ];
    let (response, _) = answered(&gateway, "gpt", stream(&events)).await;
    assert_eq!(response["status"], "incomplete");
    let item = items_of(&response, "custom_tool_call").remove(0);
    assert_eq!(
        (&item["status"], &item["input"]),
        (&json!("incomplete"), &json!("ab"))
    );

    gateway
        .simulator
        .script(ScriptedReply::json(200, whole.to_string()));
    let reply = gateway.respond_any(&request("gpt")).await.json();
    let item = items_of(&reply, "custom_tool_call").remove(0);
    assert_eq!(
        (&item["status"], &item["input"]),
        (&json!("incomplete"), &json!("ab"))
    );
}

/// Bedrock ends the block of a call before it says that the limit is reached.
#[tokio::test]
async fn custom_call_of_any_model_is_incomplete_if_it_was_cut_off() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let event = |name: &str, data: Value| encode_event(name, &data.to_string());
    for (input, status) in [
        (r#"{"input": "ab"#, "incomplete"),
        (r#"{"input": "ab"}"#, "completed"),
    ] {
        let reply = ScriptedReply::stream(vec![
            event("messageStart", json!({"role": "assistant"})),
            event(
                "contentBlockStart",
                json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "tooluse_1", "name": "patch"}}}),
            ),
            event(
                "contentBlockDelta",
                json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": input}}}),
            ),
            event("contentBlockStop", json!({"contentBlockIndex": 0})),
            event("messageStop", json!({"stopReason": "max_tokens"})),
            event(
                "metadata",
                json!({"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}}),
            ),
        ]);
        let (response, warnings) = answered(&gateway, "lite", reply).await;
        let item = items_of(&response, "custom_tool_call").remove(0);
        assert_eq!(
            (&item["status"], &item["input"]),
            (&json!(status), &json!("ab"))
        );
        assert_eq!(
            warnings.contains("incomplete"),
            status == "incomplete",
            "{warnings}"
        );
    }
}

/// Was completed.
#[tokio::test]
async fn response_that_is_incomplete_for_an_unknown_reason_is_incomplete() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for cause in ["a_new_reason", ""] {
        let events = [
            delta("output_text", "Hi"),
            end(&response(&[], "incomplete", cause)),
        ];
        let (response, warnings) = answered(&gateway, "gpt", stream(&events)).await;
        assert_eq!(response["status"], "incomplete", "{response}");
        assert!(warnings.contains("ended it early"), "{warnings}");
        assert!(warnings.contains(cause), "{warnings}");
    }
}

/// The answer failed, because such JSON cannot be parsed.
#[tokio::test]
async fn halves_of_characters_are_joined() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let events = [
        delta("output_text", r"a\ud83d"),
        delta("output_text", r"\ude00b"),
        end(&response(&[], "completed", "")),
    ];
    let (response, warnings) = answered(&gateway, "gpt", stream(&events)).await;
    assert_eq!(response["output"][0]["content"][0]["text"], "a😀b");
    assert_eq!(warnings, "[]");
    let (response, warnings) = {
        let events = [
            delta("output_text", r"a\ud83db"),
            end(&self::response(&[], "completed", "")),
        ];
        answered(&gateway, "gpt", stream(&events)).await
    };
    assert_eq!(response["output"][0]["content"][0]["text"], "a\u{fffd}b");
    assert!(warnings.contains("U+FFFD"), "{warnings}");
}

/// What the item has beyond its pieces was lost, and a call without an item of its own was cut off.
#[tokio::test]
async fn item_completes_its_pieces() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let item = custom("abc", "completed");
    let whole = end(&response(std::slice::from_ref(&item), "completed", ""));
    let begun = added(&custom("", "in_progress"));
    let piece = delta(INPUT, "ab");
    for events in [
        vec![begun.clone(), piece.clone(), done(&item), whole.clone()],
        vec![begun.clone(), piece.clone(), whole.clone()],
    ] {
        let (response, warnings) = answered(&gateway, "gpt", stream(&events)).await;
        let call = items_of(&response, "custom_tool_call").remove(0);
        assert_eq!(
            (&call["status"], &call["input"]),
            (&json!("completed"), &json!("abc"))
        );
        assert_eq!(warnings, "[]");
    }
    let other = done(&custom("xyz", "completed"));
    let events = [begun, piece, other, whole];
    let (response, warnings) = answered(&gateway, "gpt", stream(&events)).await;
    let call = items_of(&response, "custom_tool_call").remove(0);
    assert_eq!(call["input"], "ab", "what was sent cannot be taken back");
    assert!(warnings.contains("differs from its pieces"), "{warnings}");
}
