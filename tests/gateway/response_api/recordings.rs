//! Requests that real clients sent get answers, whole and streamed.

use std::path::Path;

use http::StatusCode;
use serde_json::Value;

use super::{HAIKU, events, last_response, with};
use crate::support::Gateway;

/// What these models answer stands for three families of request bodies.
const MODELS: [&str; 3] = [HAIKU, "amazon.nova-lite-v1:0", "openai.gpt-oss-20b-1:0"];

/// Recordings that OpenAI's service itself rejects if it has not stored or sealed what they refer to, with the parameter
/// of the error.
const REJECTED: [(&str, &str); 3] = [
    ("codex-after-compaction.json", "input[4].encrypted_content"),
    ("openai-agents-previous.json", "previous_response_id"),
    ("vercel-item-reference.json", "input[2].id"),
];

/// Reports whether the model reads what the request contains.
fn suits(model: &str, body: &Value) -> bool {
    !body.to_string().contains("input_image") || !model.contains("gpt-oss")
}

/// Returns the recorded bodies by file name.
fn recordings() -> Vec<(String, Value)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/response_api/recordings");
    let mut recordings: Vec<(String, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let recording: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            (name, recording["body"].clone())
        })
        .collect();
    recordings.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(recordings.len() >= 20);
    recordings
}

#[tokio::test]
async fn recorded_requests_are_answered_by_every_family() {
    let gateway = Gateway::start().await;
    for (name, body) in recordings() {
        for model in MODELS.into_iter().filter(|model| suits(model, &body)) {
            for stream in [false, true] {
                let body = with(
                    with(body.clone(), "model", model.into()),
                    "stream",
                    stream.into(),
                );
                let reply = gateway.respond_any(&body).await;
                if let Some((_, param)) = REJECTED.iter().find(|(file, _)| *file == name) {
                    assert!(reply.status.is_client_error(), "{name}");
                    assert_eq!(reply.error()["param"], *param, "{name}");
                    continue;
                }
                assert_eq!(
                    reply.status,
                    StatusCode::OK,
                    "{name} {model}: {}",
                    reply.text()
                );
                let response = match stream {
                    true => last_response(&events(&reply)),
                    false => reply.json(),
                };
                assert_eq!(
                    response["status"], "completed",
                    "{name} {model}: {response}"
                );
                assert!(
                    !response["output"].as_array().unwrap().is_empty(),
                    "{name} {model}"
                );
            }
        }
    }
}

#[tokio::test]
async fn sessions_and_machines_stay_out_of_what_is_sent() {
    let gateway = Gateway::start().await;
    for (name, body) in recordings() {
        let body = with(body, "model", HAIKU.into());
        gateway.respond_any(&body).await;
        for sent in gateway.bodies() {
            let sent = sent.to_string();
            assert!(!sent.contains("installation_id"), "{name}");
        }
    }
}
