//! Snapshots of what Bedrock receives for recorded requests of Claude Code, on InvokeModel and on Messages.

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
"#;

/// Each recording, and the model that gets it instead of its own.
const CASES: [(&str, Option<&str>); 5] = [
    ("claude-code-haiku-4-5", None),
    ("claude-code-interactive", None),
    ("claude-code-tool-reference", None),
    ("claude-code-tool-reference", Some("messages")),
    ("claude-code-tool-reference", Some("mantle")),
];

/// Returns the name of the snapshot of a case.
fn snapshot((name, model): (&str, Option<&str>)) -> String {
    format!("{name}_{}", model.unwrap_or("invoke")).replace('-', "_")
}

/// Returns the names of all snapshots.
pub fn snapshots() -> impl Iterator<Item = String> {
    CASES.into_iter().map(snapshot)
}

#[tokio::test]
async fn requests_of_claude_code_keep_their_betas() {
    let gateway = Gateway::start_with(MODELS).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/messages/recorded");
    for (name, model) in CASES {
        let recording = fs::read(folder.join(format!("{name}.json"))).unwrap();
        let mut recording: Value = serde_json::from_slice(&recording).unwrap();
        if let Some(model) = model {
            recording["body"]["model"] = model.into();
        }
        let path = recording["path"].as_str().unwrap();
        let mut request = Request::post(format!("http://{}{path}", gateway.data))
            .header("x-api-key", ANY_KEY)
            .header("content-type", "application/json");
        for (name, value) in recording["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let body = recording["body"].to_string();
        let reply = gateway.send(request.body(body.into()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
        let sent = gateway.simulator.received().pop().unwrap();
        let beta = sent.headers.get("anthropic-beta");
        let beta = beta.map_or("none", |value| value.to_str().unwrap());
        let text = format!(
            "{}\nanthropic-beta: {beta}\n{}\nwarnings: {}",
            sent.path,
            String::from_utf8(sent.body.to_vec()).unwrap(),
            reply.header("x-lintel-warnings").unwrap_or("none")
        );
        let snapshot = snapshot((name, model));
        settings().bind(|| insta::assert_snapshot!(snapshot, text));
    }
}
