//! Snapshots of what Bedrock receives for recorded requests of real clients.

use std::{fs, path::Path};

use http::{Request, StatusCode};
use serde_json::Value;

use super::settings;
use crate::support::{ANY_KEY, Gateway};

const MODELS: &str = r#"
    [models.messages]
    target = "us.anthropic.claude-sonnet-5-5"
    api = "messages"
    [models.mantle]
    target = "us.anthropic.claude-sonnet-5-5"
    api = "mantle"
    [models.nova-pro]
    target = "amazon.nova-pro-v1:0"
    [models.claude-opus-x]
    target = "us.anthropic.claude-opus-5-5"
"#;

/// The recordings of an API: where they are, its path, and the model of those whose own Bedrock does not have.
const APIS: [(&str, &str, Option<&str>); 2] = [
    ("messages/recorded", "/v1/messages", None),
    ("response_api/recordings", "/v1/responses", Some("claude")),
];

/// Recordings for which no model is called, or which are rejected.
const OTHERS: [&str; 5] = [
    "claude-code-count-tokens",
    "claude-code-web-search",
    "codex-after-compaction",
    "openai-agents-previous",
    "vercel-item-reference",
];

/// Recordings that other models get, too.
const MORE: [(&str, &str); 5] = [
    ("claude-code-tool-reference", "messages"),
    ("claude-code-tool-reference", "mantle"),
    ("codex-known-custom-tool", "us.openai.gpt-5.6-sol"),
    ("codex-lite-result", "us.openai.gpt-5.6-sol"),
    ("codex-namespace-call", "us.openai.gpt-5.6-sol"),
];

struct Case {
    name: String,
    path: &'static str,
    recording: Value,
    /// The model that gets it instead of its own.
    model: Option<&'static str>,
    snapshot: String,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (folder, path, model) in APIS {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway");
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_recording = file.extension().is_some_and(|end| end == "json");
            if !is_recording || OTHERS.contains(&name.as_str()) {
                continue;
            }
            let recording: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            let more = MORE.iter().filter(|(more, _)| *more == name);
            let models = [(model, "auto")]
                .into_iter()
                .chain(more.map(|(_, model)| (Some(*model), *model)));
            for (model, suffix) in models {
                cases.push(Case {
                    snapshot: format!("{name}_{suffix}").replace(['-', '.'], "_"),
                    name: name.clone(),
                    path,
                    recording: recording.clone(),
                    model,
                });
            }
        }
    }
    assert!(cases.len() > 40);
    cases
}

/// Returns the names of all snapshots.
pub fn snapshots() -> impl Iterator<Item = String> {
    cases().into_iter().map(|case| case.snapshot)
}

#[tokio::test]
async fn recorded_requests_are_translated() {
    let gateway = Gateway::start_with(MODELS).await;
    for case in cases() {
        let mut body = case.recording["body"].clone();
        if let Some(model) = case.model {
            body["model"] = model.into();
        }
        let mut request = Request::post(format!("http://{}{}", gateway.data, case.path))
            .header("x-api-key", ANY_KEY)
            .header("content-type", "application/json");
        for (name, value) in case.recording["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap());
        }
        let reply = gateway
            .send(request.body(body.to_string().into()).unwrap())
            .await;
        let name = &case.name;
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
        let sent = gateway.simulator.received().pop().unwrap();
        let beta = sent.headers.get("anthropic-beta");
        let beta = beta.map_or("none", |value| value.to_str().unwrap());
        let text = format!(
            "{}\nanthropic-beta: {beta}\n{}\nwarnings: {}",
            sent.path,
            without_id(std::str::from_utf8(&sent.body).unwrap()),
            reply.header("x-lintel-warnings").unwrap_or("none")
        );
        settings().bind(|| insta::assert_snapshot!(case.snapshot.clone(), text));
    }
}

/// Returns the body without the id of the request, which Bedrock's invocation log gets from some routes.
fn without_id(body: &str) -> String {
    const ID: &str = "\"lintel_request_id\":\"";
    match body.split_once(ID) {
        Some((before, rest)) => {
            let (_, after) = rest.split_once('"').unwrap();
            format!("{before}{ID}\"{after}")
        }
        None => body.to_owned(),
    }
}
