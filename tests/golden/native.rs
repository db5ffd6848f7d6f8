//! Snapshots of the OpenAI-compatible endpoints: the body that each group of models receives for the same request, and the
//! client's reply for a reply of the endpoint. A stream of the same content must result in the same message.

use std::fs;

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{files, name, replies::joined, settings};
use crate::support::Gateway;

/// One model of each group and endpoint.
const MODELS: [(&str, &str, &str); 9] = [
    ("gpt", "us.openai.gpt-6-sol", "chat"),
    ("gpt-mantle", "openai.gpt-5.4", "mantle"),
    ("oss", "openai.gpt-oss-120b-1:0", "chat"),
    ("oss-mantle", "openai.gpt-oss-120b-1:0", "mantle"),
    ("grok", "us.xai.grok-4.6", "chat"),
    ("grok-mantle", "xai.grok-4.3", "mantle"),
    ("gemma", "google.gemma-4-31b", "mantle"),
    ("qwen", "qwen.qwen3-32b-v1:0", "mantle"),
    ("palmyra", "writer.palmyra-vision-7b", "mantle"),
];

/// A name, a target and its `api`.
pub type NativeModel = (&'static str, &'static str, &'static str);

async fn gateway(models: &[NativeModel]) -> Gateway {
    let models = models.iter().map(|(name, target, api)| {
        format!("[models.{name}]\ntarget = \"{target}\"\napi = \"{api}\"\n")
    });
    Gateway::start_with(&models.collect::<String>()).await
}

#[tokio::test]
async fn requests_are_translated_for_each_group() {
    requests_of(&MODELS, "native").await;
}

/// Sends every case to every model. Those that receive the same share a paragraph.
pub async fn requests_of(models: &[NativeModel], prefix: &str) {
    let gateway = gateway(models).await;
    for path in files("native", ".json") {
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for (model, ..) in models {
            let mut request = case.clone();
            request["model"] = (*model).into();
            let before = gateway.simulator.received().len();
            let reply = gateway.chat(&request).await;
            let sent = gateway.simulator.received();
            let text = match sent.get(before) {
                None => format!("refused: {}", reply.error()["message"]),
                Some(sent) => {
                    assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
                    let warnings = reply.header("x-lintel-warnings").unwrap_or("none");
                    let body = std::str::from_utf8(&sent.body).unwrap();
                    // Models of a group differ only in their ids.
                    let (_, body) = body.split_once(',').unwrap();
                    format!("{{…,{body}\nwarnings: {warnings}")
                }
            };
            match groups.iter_mut().find(|(other, _)| *other == text) {
                Some((_, models)) => models.push(model),
                None => groups.push((text, vec![model])),
            }
        }
        let text: String = groups
            .iter()
            .map(|(text, models)| format!("{}\n{text}\n\n", models.join("\n")))
            .collect();
        settings().bind(|| insta::assert_snapshot!(format!("{prefix}_{}", name(&path)), text));
    }
}

/// Returns the events in which the endpoint streams `reply`, with text in pieces of three characters.
fn events(reply: &Value) -> String {
    let choice = &reply["choices"][0];
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    for member in ["reasoning_content", "reasoning", "content", "refusal"] {
        let text: Vec<char> = choice["message"][member]
            .as_str()
            .unwrap_or_default()
            .chars()
            .collect();
        let pieces = text.chunks(3).map(|piece| piece.iter().collect::<String>());
        deltas.extend(pieces.map(|piece| json!({member: piece})));
    }
    let calls = choice["message"]["tool_calls"]
        .as_array()
        .into_iter()
        .flatten();
    for (index, call) in calls.enumerate() {
        let mut start = call.clone();
        start["index"] = index.into();
        start["function"]["arguments"] = "".into();
        deltas.push(json!({"tool_calls": [start]}));
        let arguments: Vec<char> = call["function"]["arguments"]
            .as_str()
            .unwrap()
            .chars()
            .collect();
        let pieces = arguments
            .chunks(3)
            .map(|piece| piece.iter().collect::<String>());
        deltas.extend(pieces.map(
            |piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}),
        ));
    }
    let mut events = String::new();
    for delta in deltas {
        let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}], "usage": null});
        events += &format!("data: {chunk}\n\n");
    }
    let finish =
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]});
    let mut last = reply.clone();
    last["choices"] = json!([]);
    format!("{events}data: {finish}\n\ndata: {last}\n\ndata: [DONE]\n\n")
}

/// Replaces ids that the gateway made.
fn without_ids(mut message: Value) -> Value {
    for (nth, call) in message["tool_calls"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let id = call["id"].as_str().unwrap();
        if id.len() == "call_".len() + 24 {
            call["id"] = format!("UNIQUE-{nth}").into();
        }
    }
    message
}

#[tokio::test]
async fn whole_and_streamed_replies_of_the_endpoints_are_the_same_message() {
    replies_of(&MODELS, "native_replies", events).await;
}

/// Decodes every reply in `folder`, whole and as the stream that `events` makes of it.
pub async fn replies_of(models: &[NativeModel], folder: &str, events: fn(&Value) -> String) {
    let gateway = gateway(models).await;
    let prefix = folder.replace("replies", "reply");
    for path in files(folder, ".json") {
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let scripted = ScriptedReply::json(200, case["reply"].to_string());
        gateway.simulator.script(scripted);
        let reply = gateway.chat(&case["request"]).await;
        let whole = reply.json();
        let choice = &whole["choices"][0];

        let mut request = case["request"].clone();
        request["stream"] = true.into();
        request["stream_options"] = json!({"include_usage": true});
        let events = events(&case["reply"]);
        let parts = events.as_bytes().chunks(5).map(Bytes::copy_from_slice);
        gateway
            .simulator
            .script(ScriptedReply::stream(parts.collect()));
        let stream = gateway.chat(&request).await;
        let (message, rest) = joined(&stream.events());
        let message = without_ids(message);
        assert_eq!(
            without_ids(choice["message"].clone()),
            message,
            "{}",
            path.display()
        );
        assert_eq!(
            choice["finish_reason"],
            rest["finish_reason"],
            "{}",
            path.display()
        );
        assert_eq!(whole["usage"], rest["usage"], "{}", path.display());
        let warnings = reply.header("x-lintel-warnings").unwrap_or("none");
        let text = format!(
            "{message}\nfinish_reason: {}\nusage: {}\nwarnings: {warnings}\n",
            choice["finish_reason"], whole["usage"]
        );
        settings().bind(|| insta::assert_snapshot!(format!("{prefix}_{}", name(&path)), text));
    }
}
