//! Answers that a guardrail, a filter or the model itself refuses.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{
    chat_stream, chat_whole, converse_stream, converse_whole, events, gateway, items, message,
    pairs, respond,
};

/// Returns the response for a scripted reply.
async fn response(model: &str, script: ScriptedReply, stream: bool) -> Value {
    let gateway = gateway().await;
    gateway.simulator.script(script);
    let reply = respond(&gateway, json!({"model": model, "stream": stream})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    match stream {
        true => events(&reply).last().unwrap()["response"].clone(),
        false => reply.json(),
    }
}

/// Text that a content filter ends is the model's, however many pieces it has.
#[tokio::test]
async fn filtered_text_is_incomplete_and_no_error() {
    for pieces in [vec!["part one"], vec!["part", " one"]] {
        let deltas: Vec<Value> = pieces.iter().map(|text| json!({"content": text})).collect();
        let script = chat_stream(&deltas, "content_filter");
        let from_chat = response("oss", script, true).await;
        let script = converse_stream(&pieces, "content_filtered", Value::Null);
        let from_converse = response("haiku", script, true).await;
        for response in [from_chat, from_converse] {
            assert_eq!(response["status"], "incomplete", "{response}");
            assert_eq!(response["incomplete_details"]["reason"], "content_filter");
            assert_eq!(items(&response), pairs(&[("message", "part one")]));
        }
    }
    let message = json!({"role": "assistant", "content": "part one"});
    let script = chat_whole(message, "content_filter");
    assert_eq!(response("oss", script, false).await["status"], "incomplete");
}

#[tokio::test]
async fn refusal_before_any_output_fails_with_a_reason_not_to_retry() {
    let empty = json!({"role": "assistant", "content": ""});
    for (model, script, stream) in [
        ("oss", chat_stream(&[], "content_filter"), true),
        ("oss", chat_whole(empty, "content_filter"), false),
        ("haiku", converse_whole("", "refusal", json!({})), false),
        ("haiku", converse_stream(&[], "refusal", Value::Null), true),
    ] {
        let response = response(model, script, stream).await;
        assert_eq!(response["status"], "failed", "{response}");
        assert_eq!(response["error"]["code"], "invalid_prompt");
        assert_eq!(response["output"], json!([]));
    }
}

/// The trace arrives after the end of the answer, and only it tells what the guardrail did.
#[tokio::test]
async fn trace_tells_a_blocked_answer_from_a_masked_one() {
    let blocked = json!({"inputAssessment": {"g": {"topicPolicy": {"topics": [{"name": "t", "type": "DENY", "action": "BLOCKED"}]}}}});
    let masked = json!({"outputAssessments": {"g": [{"sensitiveInformationPolicy": {"piiEntities": [{"type": "EMAIL", "match": "x", "action": "ANONYMIZED"}]}}]}});
    for pieces in [vec!["Sorry, no."], vec!["Sorry", ", no."]] {
        let text = pieces.concat();
        for (trace, status) in [(&blocked, "failed"), (&masked, "incomplete")] {
            let script = converse_stream(&pieces, "guardrail_intervened", trace.clone());
            let streamed = response("haiku", script, true).await;
            let more = json!({"trace": {"guardrail": trace}});
            let script = converse_whole(&text, "guardrail_intervened", more);
            let whole = response("haiku", script, false).await;
            for response in [streamed, whole] {
                assert_eq!(response["status"], status, "{response}");
                match status {
                    "failed" => assert_eq!(response["error"]["message"], text),
                    _ => assert_eq!(items(&response), pairs(&[("message", &text)])),
                }
            }
        }
    }
}

fn frame(event: Value) -> bytes::Bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let bytes = STANDARD.encode(event.to_string());
    lintel::simulator::encode_event("chunk", &json!({"bytes": bytes}).to_string())
}

fn claude_stream(events: &[Value]) -> ScriptedReply {
    let start = json!({"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}});
    let frames = [start].into_iter().chain(events.iter().cloned());
    ScriptedReply::stream(frames.map(frame).collect())
}

#[tokio::test]
async fn details_of_a_refusal_reach_clients_of_messages() {
    let gateway = gateway().await;
    let details = json!({"type": "refusal", "category": "bio", "explanation": "No."});
    let delta = json!({"stop_reason": "refusal", "stop_sequence": null, "stop_details": details});
    gateway.simulator.script(claude_stream(&[
        json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 5}}),
    ]));
    let request = json!({"model": "haiku_invoke", "stream": true});
    let events = events(&message(&gateway, request).await);
    let end = &events[events.len() - 2]["delta"];
    assert_eq!(end["stop_reason"], "refusal");
    assert_eq!(end["stop_details"], details);
}

#[tokio::test]
async fn details_of_a_refusal_come_from_converse_too() {
    let gateway = gateway().await;
    let details = json!({"type": "refusal", "category": "bio", "explanation": "No."});
    let more = json!({"additionalModelResponseFields": {"stop_details": details}});
    gateway
        .simulator
        .script(converse_whole("I cannot.", "refusal", more));
    let reply = message(&gateway, json!({"model": "haiku"})).await.json();
    assert_eq!(reply["stop_reason"], "refusal");
    assert_eq!(reply["stop_details"], details);
    let paths = &gateway.bodies().pop().unwrap()["additionalModelResponseFieldPaths"];
    assert_eq!(*paths, json!(["/stop_details", "/delta/stop_details"]));
}

#[tokio::test]
async fn full_context_window_has_its_own_name_in_messages() {
    let gateway = gateway().await;
    let script = || converse_whole("Some", "model_context_window_exceeded", json!({}));
    gateway.simulator.script(script());
    let reply = message(&gateway, json!({"model": "haiku"})).await.json();
    assert_eq!(reply["stop_reason"], "model_context_window_exceeded");
    gateway.simulator.script(script());
    let reply = respond(&gateway, json!({"model": "haiku"})).await.json();
    assert_eq!(reply["incomplete_details"]["reason"], "max_output_tokens");
}

#[tokio::test]
async fn overload_that_claude_reports_keeps_its_name() {
    let gateway = gateway().await;
    let error =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let text = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}});
    let start = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    gateway
        .simulator
        .script(claude_stream(&[start, text, error]));
    let request = json!({"model": "haiku_invoke", "stream": true});
    let events = events(&message(&gateway, request).await);
    let last = events.last().unwrap();
    assert_eq!(last["error"]["type"], "overloaded_error", "{last}");
}
