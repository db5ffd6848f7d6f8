//! Snapshots of InvokeModel's bodies by family, and of what clients receive for documented and recorded replies.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use lintel::{
    call::{Caller, Warnings},
    catalogue,
    error::Error,
    model::Target,
    openai::extension::BedrockOptions,
    simulator::{ScriptedReply, encode_event},
    upstream::{
        converse::{self, Context},
        invoke::chat::{RequestBetas, Writer, route_model, write_body},
    },
};
use serde_json::{Value, json};

use super::{files, name, replies::joined, settings};
use crate::support::{Gateway, Reply};

/// One model of each family, and those that differ within one.
const MODELS: [&str; 19] = [
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-sonnet-5-5",
    "amazon.nova-lite-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "meta.llama3-1-70b-instruct-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "mistral.mixtral-8x7b-instruct-v0:1",
    "mistral.mistral-large-2402-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "us.deepseek.r1-v1:0",
    "openai.gpt-oss-120b-1:0",
    "ai21.jamba-1-5-large-v1:0",
    "twelvelabs.pegasus-1-5-v1:0",
    "amazon.titan-text-premier-v1:0",
    "cohere.command-r-plus-v1:0",
    "meta.llama2-70b-chat-v1",
    "anthropic.claude-v2:1",
    "cohere.command-text-v14",
    "ai21.j2-ultra-v1",
];

/// Returns the body and warnings for the model `id`.
fn sent(id: &str, body: &[u8]) -> Result<String, Error> {
    let warnings = Warnings::default();
    let request = lintel::edge::chat_request(body, &warnings)?;
    let model = catalogue::model("m", Target::new(id, "us-east-1"));
    let invoke = model.facts.invoke.clone().unwrap();
    let model = route_model(&model, &invoke, false);
    let caller = Caller::default();
    let cx = Context {
        model: &model,
        caller: &caller,
        warnings: &warnings,
        messages: &request.messages,
        extras: Default::default(),
    };
    let mut translated = converse::chat_request(&request, &cx)?;
    let writer = Writer {
        model: &model,
        invoke: &invoke,
        betas: &RequestBetas::new(
            &request,
            &request.messages,
            &model,
            &invoke.betas,
            false,
            &warnings,
        ),
        is_stream: false,
        warnings: &warnings,
    };
    let body = write_body(&mut translated.request, &writer)?;
    // What clients add to a body themselves is theirs to get right.
    let adds = |own: &BedrockOptions| own.additional_model_request_fields.is_some();
    let verdict = match request.bedrock.as_ref().is_some_and(adds) {
        true => Ok(()),
        false => lintel::simulator::validate_invoke(id, &body),
    };
    let body = String::from_utf8(body.to_vec()).unwrap();
    let warnings = warnings.joined().unwrap_or_else(|| "none".to_owned());
    Ok(match verdict {
        Ok(()) => format!("{body}\nwarnings: {warnings}"),
        Err(error) => format!("rejected: {error:?}: {body}"),
    })
}

fn refused(error: &Error) -> String {
    format!("refused: {error} [{:?}]", error.param())
}

#[test]
fn requests_are_translated_to_the_body_of_each_family() {
    for path in files("invoke", ".json") {
        let body = fs::read(&path).unwrap();
        let mut text = String::new();
        for id in MODELS {
            let sent = sent(id, &body).unwrap_or_else(|error| refused(&error));
            assert!(!sent.starts_with("rejected"), "{id}: {sent}");
            let sent = sent.replace("word ".repeat(5000).as_str(), "word … ");
            text.push_str(&format!("{id}\n{sent}\n\n"));
        }
        settings().bind(|| insta::assert_snapshot!(format!("invoke_{}", name(&path)), text));
    }
}

/// The requests that all families get through Converse are valid bodies as well, or are refused with a member.
#[test]
fn every_request_of_the_other_route_is_a_valid_body_or_is_refused() {
    let mut wrong = Vec::new();
    for path in files("families", ".json") {
        let body = fs::read(&path).unwrap();
        for id in MODELS {
            match sent(id, &body) {
                Err(error) => assert!(error.param().is_some(), "{}: {id}: {error}", path.display()),
                Ok(sent) if sent.starts_with("rejected") => {
                    wrong.push(format!("{}: {id}: {sent:.600}", path.display()));
                }
                Ok(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn chunk(event: &Value) -> Bytes {
    let bytes = STANDARD.encode(event.to_string());
    encode_event("chunk", &json!({"bytes": bytes}).to_string())
}

/// Returns the message, the finish reason and the usage of a whole reply, or of a stream once its chunks are joined.
fn outcome(reply: &Reply) -> Value {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let (message, reason, usage) = match serde_json::from_slice::<Value>(&reply.body) {
        Ok(mut whole) => (
            whole["choices"][0]["message"].take(),
            whole["choices"][0]["finish_reason"].take(),
            whole["usage"].take(),
        ),
        Err(_) => {
            let (message, mut rest) = joined(&reply.events());
            (message, rest["finish_reason"].take(), rest["usage"].take())
        }
    };
    json!({"message": without_minted_ids(message), "finish_reason": reason, "usage": usage})
}

/// Replaces the ids of calls that the gateway makes up, which differ in each request.
fn without_minted_ids(mut message: Value) -> Value {
    let calls = message["tool_calls"].as_array_mut();
    for call in calls.into_iter().flatten() {
        let is_minted = |id: &str| id.starts_with("call_") && id.len() == 29;
        if call["id"].as_str().is_some_and(is_minted) {
            call["id"] = "(minted)".into();
        }
    }
    message
}

#[tokio::test]
async fn documented_replies_are_translated_whole_and_streamed() {
    for path in files("invoke-replies", ".json") {
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let model = case["model"].as_str().unwrap();
        let gateway = Gateway::start_with(&format!(
            "[models.golden]\ntarget = \"{model}\"\napi = \"invoke\"\n"
        ))
        .await;
        let mut request = json!({"model": "golden", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": {"name": "get_weather"}}]});
        let calls = case["whole"].to_string().contains("get_weather");
        if !calls {
            request.as_object_mut().unwrap().remove("tools");
        }
        let mut scripted = ScriptedReply::json(200, case["whole"].to_string());
        for (name, value) in case["headers"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap().to_owned();
            scripted.headers.push((name.clone(), value));
        }
        gateway.simulator.script(scripted.clone());
        let whole = outcome(&gateway.chat(&request).await);
        let mut text = format!("{whole:#}\n");
        if let Some(events) = case["events"].as_array() {
            let facts = catalogue::lookup(&Target::new(model, "us-east-1")).facts;
            // Models that cannot stream calls are asked whole.
            gateway
                .simulator
                .script(match calls && !facts.stream_with_tools {
                    true => scripted,
                    false => ScriptedReply::stream(events.iter().map(chunk).collect()),
                });
            request["stream"] = true.into();
            request["stream_options"] = json!({"include_usage": true});
            let streamed = outcome(&gateway.chat(&request).await);
            assert_eq!(streamed, whole, "{}", path.display());
            text.push_str("The stream gives the same.\n");
        }
        settings().bind(|| insta::assert_snapshot!(format!("invoke_reply_{}", name(&path)), text));
    }
}
