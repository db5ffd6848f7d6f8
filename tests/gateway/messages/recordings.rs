//! Requests of real clients, replayed: `recorded/README.md` says where they come from.

use std::{fs, path::Path};

use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{events, joined, last_sent};
use crate::support::{ANY_KEY, Gateway, Reply};

/// The models of the recordings that Bedrock names differently.
const SETTINGS: &str = r#"
    [models.nova-pro]
    target = "amazon.nova-pro-v1:0"
    [models.claude-opus-x]
    target = "us.anthropic.claude-opus-5-5"
"#;

/// The recordings that the service cannot answer, and why.
const REJECTED: [(&str, &str); 1] = [(
    "claude-code-web-search",
    "This model does not support web search",
)];

async fn replay(gateway: &Gateway, recording: &Value, model: Option<&str>, stream: bool) -> Reply {
    let path = recording["path"].as_str().unwrap();
    let mut body = recording["body"].clone();
    if let Some(model) = model {
        body["model"] = model.into();
    }
    if body.get("max_tokens").is_some() {
        body["stream"] = stream.into();
    }
    let mut request = Request::post(format!("http://{}{path}", gateway.data))
        .header("x-api-key", ANY_KEY)
        .header("content-type", "application/json");
    for (name, value) in recording["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    gateway
        .send(request.body(body.to_string().into()).unwrap())
        .await
}

fn recordings() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/messages/recorded");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (
                name,
                serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
            )
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(found.len() > 20);
    found
}

fn rejection(name: &str) -> Option<&'static str> {
    let found = REJECTED.iter().find(|(rejected, _)| *rejected == name);
    found.map(|(_, why)| *why)
}

/// The simulator rejects what Bedrock rejects.
#[tokio::test]
async fn recordings_are_answered_whole_and_streamed() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (name, recording) in recordings() {
        for stream in [false, true] {
            let reply = replay(&gateway, &recording, None, stream).await;
            if let Some(why) = rejection(&name) {
                assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
                assert!(reply.text().contains(why), "{}", reply.text());
                continue;
            }
            assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
            if recording["path"].as_str().unwrap().contains("count_tokens") {
                assert!(reply.json()["input_tokens"].is_u64());
                continue;
            }
            let message = match stream {
                true => joined(&events(&reply)),
                false => reply.json(),
            };
            assert!(message["stop_reason"].is_string(), "{name}: {message}");
        }
    }
}

/// Claude Code runs on other models, too.
#[tokio::test]
async fn recordings_are_answered_by_models_of_other_vendors() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for (name, recording) in recordings() {
        if rejection(&name).is_some() {
            continue;
        }
        for model in ["nova-pro", "openai.gpt-oss-120b-1:0"] {
            // The model has no images and documents.
            let has_media = ["claude-code-image-result", "claude-code-pdf-result"];
            if model.starts_with("openai") && has_media.contains(&name.as_str()) {
                continue;
            }
            let reply = replay(&gateway, &recording, Some(model), true).await;
            assert_eq!(
                reply.status,
                StatusCode::OK,
                "{name} {model}: {}",
                reply.text()
            );
        }
    }
}

fn recording(name: &str) -> Value {
    let mut all = recordings().into_iter();
    all.find(|(found, _)| found == name).unwrap().1
}

#[tokio::test]
async fn billing_line_is_not_sent_and_tools_stay_deferred() {
    let gateway = Gateway::start_with(SETTINGS).await;
    replay(
        &gateway,
        &recording("claude-code-tool-reference"),
        None,
        true,
    )
    .await;
    let body = last_sent(&gateway);
    assert!(!body.to_string().contains("x-anthropic-billing-header"));
    let tools = body["tools"].as_array().unwrap().iter();
    let deferred: Vec<_> = tools
        .filter(|tool| tool["defer_loading"] == true)
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(deferred, ["WebFetch", "DeferredToolPlaceholder"]);
    let result = &body["messages"][2]["content"][0]["content"];
    assert_eq!(
        *result,
        json!([{"type": "tool_reference", "tool_name": "WebFetch"}])
    );
}

#[tokio::test]
async fn thinking_comes_back_in_place_and_unsigned_thinking_is_dropped() {
    let gateway = Gateway::start_with(SETTINGS).await;
    replay(&gateway, &recording("claude-code-redacted"), None, true).await;
    let body = last_sent(&gateway);
    let blocks = body["messages"][1]["content"].as_array().unwrap();
    let kinds: Vec<_> = blocks.iter().map(|block| &block["type"]).collect();
    let original = recording("claude-code-redacted");
    let original = original["body"]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["role"] == "assistant")
        .unwrap()
        .clone();
    let expected: Vec<_> = original["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| &block["type"])
        .collect();
    assert_eq!(kinds, expected);
    let reply = replay(
        &gateway,
        &recording("claude-code-empty-signature"),
        None,
        true,
    )
    .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!last_sent(&gateway).to_string().contains("\"thinking\":\""));
}

/// The same conversation gives the same prefix, so that the cache and the signatures hold.
#[tokio::test]
async fn same_request_gives_the_same_bytes() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let first = recording("claude-code-two-results");
    replay(&gateway, &first, None, true).await;
    let once = last_sent(&gateway);
    replay(&gateway, &first, None, true).await;
    let again = last_sent(&gateway);
    assert_eq!(once, again);
}
