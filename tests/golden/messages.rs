//! Snapshots of Anthropic's Messages on both hosts, for the requests and the replies of InvokeModel, whose body is nearly the
//! same.

use std::fs;

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{files, name, replies::joined, settings};
use crate::support::{Gateway, Reply};

const MODELS: [(&str, &str, &str); 3] = [
    ("runtime", "us.anthropic.claude-sonnet-5-5", "messages"),
    ("mantle", "us.anthropic.claude-sonnet-5-5", "mantle"),
    (
        "haiku",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "mantle",
    ),
];

async fn gateway() -> Gateway {
    let models = MODELS.map(|(name, target, api)| {
        format!("[models.{name}]\ntarget = \"{target}\"\napi = \"{api}\"\n")
    });
    Gateway::start_with(&models.concat()).await
}

/// Returns the path, the headers and the body that the endpoint receives, and the warnings.
async fn sent(gateway: &Gateway, model: &str, case: &Value) -> String {
    let mut request = case.clone();
    request["model"] = model.into();
    let before = gateway.simulator.received().len();
    let reply = gateway.chat(&request).await;
    let sent = gateway.simulator.received();
    let Some(sent) = sent.get(before) else {
        return format!("refused: {}", reply.error()["message"]);
    };
    assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.text());
    let headers = ["anthropic-version", "anthropic-beta"];
    let headers = headers.map(|name| {
        let value = sent.headers.get(name).map(|value| value.to_str().unwrap());
        value.map_or_else(String::new, |value| format!("{name}: {value}\n"))
    });
    let body = std::str::from_utf8(&sent.body).unwrap();
    let body = body.replace("word ".repeat(5000).as_str(), "word … ");
    let warnings = reply.header("x-lintel-warnings").unwrap_or("none");
    format!("{}{body}\nwarnings: {warnings}", headers.concat())
}

#[tokio::test]
async fn requests_are_translated_to_messages() {
    let gateway = gateway().await;
    for path in files("invoke", ".json") {
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut text = String::new();
        for (model, ..) in MODELS {
            text.push_str(&format!(
                "{model}\n{}\n\n",
                sent(&gateway, model, &case).await
            ));
        }
        settings().bind(|| insta::assert_snapshot!(format!("messages_{}", name(&path)), text));
    }
}

fn outcome(reply: &Reply) -> Value {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    if let Ok(whole) = serde_json::from_slice::<Value>(&reply.body) {
        let choice = &whole["choices"][0];
        return json!([choice["message"], choice["finish_reason"], whole["usage"]]);
    }
    let (message, rest) = joined(&reply.events());
    json!([message, rest["finish_reason"], rest["usage"]])
}

/// The same reply by InvokeModel results in the same answer.
#[tokio::test]
async fn replies_of_messages_mean_what_those_of_invoke_model_mean() {
    let invoke = "[models.invoke]\ntarget = \"us.anthropic.claude-sonnet-5-5\"\napi = \"invoke\"\n\
                  [models.runtime]\ntarget = \"us.anthropic.claude-sonnet-5-5\"\napi = \"messages\"\n";
    let gateway = Gateway::start_with(invoke).await;
    for path in files("invoke-replies", ".json") {
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if !case["model"].as_str().unwrap().contains("anthropic") {
            continue;
        }
        let mut request = json!({"model": "invoke", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": {"name": "get_weather"}}]});
        let whole = ScriptedReply::json(200, case["whole"].to_string());
        gateway.simulator.script(whole.clone());
        let expected = outcome(&gateway.chat(&request).await);
        request["model"] = "runtime".into();
        gateway.simulator.script(whole);
        let own = outcome(&gateway.chat(&request).await);
        assert_eq!(own, expected, "{}", path.display());
        let Some(events) = case["events"].as_array() else {
            continue;
        };
        let events = events.iter().map(|event| {
            let mut event = event.clone();
            event
                .as_object_mut()
                .unwrap()
                .remove("amazon-bedrock-invocationMetrics");
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap()
            )
            .into()
        });
        gateway
            .simulator
            .script(ScriptedReply::stream(events.collect()));
        request["stream"] = true.into();
        request["stream_options"] = json!({"include_usage": true});
        let streamed = outcome(&gateway.chat(&request).await);
        assert_eq!(streamed, expected, "{}", path.display());
    }
}
