//! Snapshots of the client's reply for a reply of Bedrock. A stream of the same content must result in the same message.

use std::fs;

use bytes::Bytes;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::{Value, json};

use super::{files, name, settings};
use crate::support::Gateway;

/// Returns the events in which Bedrock streams `reply`, with text in pieces of three characters.
fn events(reply: &Value) -> Vec<Bytes> {
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    for (index, block) in reply["output"]["message"]["content"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let (start, deltas) = streamed(block);
        events.extend(start.map(|start| {
            (
                "contentBlockStart",
                json!({"contentBlockIndex": index, "start": start}),
            )
        }));
        for delta in deltas {
            events.push((
                "contentBlockDelta",
                json!({"contentBlockIndex": index, "delta": delta}),
            ));
        }
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    let mut stop = json!({"stopReason": reply["stopReason"]});
    let mut metadata = json!({"usage": reply["usage"], "metrics": {"latencyMs": 1}});
    stop["additionalModelResponseFields"] = reply["additionalModelResponseFields"].clone();
    for member in ["trace", "serviceTier"] {
        metadata[member] = reply[member].clone();
    }
    events.extend([("messageStop", stop), ("metadata", metadata)]);
    events
        .iter()
        .map(|(kind, payload)| encode_event(kind, &payload.to_string()))
        .collect()
}

fn pieces(text: &str) -> Vec<String> {
    text.chars()
        .collect::<Vec<_>>()
        .chunks(3)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// Returns the `start` and the deltas of a content block.
fn streamed(block: &Value) -> (Option<Value>, Vec<Value>) {
    let texts = |text: &Value| -> Vec<Value> {
        pieces(text.as_str().unwrap())
            .into_iter()
            .map(|piece| json!({"text": piece}))
            .collect()
    };
    let (kind, inner) = block.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "text" => (None, texts(inner)),
        "reasoningContent" if inner["redactedContent"].is_string() => {
            (None, vec![json!({"reasoningContent": inner})])
        }
        "reasoningContent" => {
            let thought = &inner["reasoningText"];
            let mut deltas: Vec<Value> = texts(&thought["text"])
                .into_iter()
                .map(|delta| json!({"reasoningContent": delta}))
                .collect();
            if thought["signature"].is_string() {
                deltas.push(json!({"reasoningContent": {"signature": thought["signature"]}}));
            }
            (None, deltas)
        }
        "toolUse" => {
            let input = inner["input"].to_string();
            let fragments = if input == "{}" {
                vec![String::new()]
            } else {
                pieces(&input)
            };
            let mut start = inner.clone();
            start.as_object_mut().unwrap().shift_remove("input");
            let deltas = fragments
                .iter()
                .map(|fragment| json!({"toolUse": {"input": fragment}}))
                .collect();
            (Some(json!({"toolUse": start})), deltas)
        }
        "toolResult" => {
            let start = json!({"toolResult": {"toolUseId": inner["toolUseId"]}});
            (Some(start), vec![json!({"toolResult": inner["content"]})])
        }
        "citationsContent" => {
            let citations = inner["citations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|citation| json!({"citation": citation}));
            (
                None,
                citations
                    .chain(texts(&inner["content"][0]["text"]))
                    .collect(),
            )
        }
        "image" => {
            let start = json!({"image": {"format": inner["format"]}});
            (
                Some(start),
                vec![json!({"image": {"source": inner["source"]}})],
            )
        }
        other => panic!("this test cannot stream a content block of type {other}"),
    }
}

/// Assembles the message from the deltas, as a client does. Also returns the members of the chunks beside the deltas.
pub fn joined(events: &[&str]) -> (Value, Value) {
    let mut message = json!({"role": "assistant", "content": Value::Null, "refusal": Value::Null});
    let mut rest = json!({});
    for event in events.iter().filter(|event| **event != "[DONE]") {
        let chunk: Value = serde_json::from_str(event).unwrap();
        for extension in ["usage", "bedrock_guardrail"] {
            if !chunk[extension].is_null() {
                rest[extension] = chunk[extension].clone();
            }
        }
        let choice = &chunk["choices"][0];
        if choice["finish_reason"].is_string() {
            rest["finish_reason"] = choice["finish_reason"].clone();
        }
        for (member, value) in choice["delta"].as_object().into_iter().flatten() {
            add(&mut message[member], member, value);
        }
    }
    let calls = message.get("tool_calls").is_some() || message.get("function_call").is_some();
    if calls && message["content"] == "" {
        message["content"] = Value::Null;
    }
    (message, rest)
}

fn add(old: &mut Value, member: &str, new: &Value) {
    match (member, old, new) {
        ("role", ..) => {}
        ("tool_calls", old, Value::Array(deltas)) => {
            for delta in deltas {
                if old.is_null() {
                    *old = json!([]);
                }
                let calls = old.as_array_mut().unwrap();
                let mut call = delta.clone();
                let index = call
                    .as_object_mut()
                    .unwrap()
                    .shift_remove("index")
                    .unwrap()
                    .as_u64()
                    .unwrap() as usize;
                match calls.get_mut(index) {
                    None => calls.push(call),
                    Some(known) => add(
                        &mut known["function"]["arguments"],
                        "text",
                        &call["function"]["arguments"],
                    ),
                }
            }
        }
        (_, Value::String(old), Value::String(new)) => old.push_str(new),
        // All other lists of objects are assembled by the `index` of their entries too. Each entry comes in one piece.
        (_, old, Value::Array(new)) if new.iter().all(Value::is_object) => {
            if old.is_null() {
                *old = json!([]);
            }
            let list = old.as_array_mut().unwrap();
            for entry in new {
                let mut entry = entry.clone();
                assert_eq!(entry["index"], json!(list.len()), "{member}");
                // Only `reasoning_details` contain the index in whole replies too.
                if member != "reasoning_details" {
                    entry.as_object_mut().unwrap().shift_remove("index");
                }
                list.push(entry);
            }
        }
        ("function_call", Value::Object(old), new) => {
            add(&mut old["arguments"], "text", &new["arguments"])
        }
        (_, old, new) => *old = new.clone(),
    }
}

#[tokio::test]
async fn whole_and_streamed_replies_result_in_the_same_message() {
    for path in files("replies", ".json") {
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let gateway = Gateway::start().await;
        gateway
            .simulator
            .script(ScriptedReply::json(200, case["reply"].to_string()));
        let reply = gateway.any(&case["request"]).await;
        let whole = reply.json();
        let choice = &whole["choices"][0];

        let mut request = case["request"].clone();
        request["stream"] = true.into();
        request["stream_options"] = json!({"include_usage": true});
        // Llama cannot stream with tools, so the gateway requests a whole reply.
        let call_whole = case["request"]["model"]
            .as_str()
            .unwrap()
            .starts_with("meta.")
            && request["tools"].is_array();
        gateway.simulator.script(match call_whole {
            true => ScriptedReply::json(200, case["reply"].to_string()),
            false => ScriptedReply::stream(events(&case["reply"])),
        });
        let stream = gateway.any(&request).await;
        let (message, rest) = joined(&stream.events());

        let same = |of_whole: &Value, of_stream: &Value, what: &str| {
            assert_eq!(
                of_whole,
                of_stream,
                "{}: {what} differs between whole and streamed",
                path.display()
            );
        };
        same(&choice["message"], &message, "the message");
        same(
            &choice["finish_reason"],
            &rest["finish_reason"],
            "the finish reason",
        );
        same(&whole["usage"], &rest["usage"], "usage");
        same(
            &whole["bedrock_guardrail"],
            &rest["bedrock_guardrail"],
            "the guardrail's trace",
        );
        let warnings = reply.header("x-lintel-warnings").unwrap_or("none");
        let text = format!(
            "{}\nfinish_reason: {}\nusage: {}\nguardrail: {}\nwarnings: {warnings}\n",
            choice["message"], choice["finish_reason"], whole["usage"], whole["bedrock_guardrail"]
        );
        settings().bind(|| insta::assert_snapshot!(format!("reply_{}", name(&path)), text));
    }
}
