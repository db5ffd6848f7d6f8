//! Snapshots of wire bytes: the requests that Bedrock receives, and the replies that clients receive for recorded replies
//! of Bedrock.
//!
//! After an intended change, run `INSTA_UPDATE=always cargo test --test gateway golden` and review the diff.

mod clients;
mod families;
mod invoke;
mod knowledge;
mod messages;
mod models_page;
mod native;
pub mod replies;
mod responses;
mod routes;
mod units;

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::Value;

use crate::support::{Gateway, streamed, user};

/// Returns the files in `folder` whose names end with `ending`, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.to_str().unwrap().ends_with(ending));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Returns the part of a snapshot's name that identifies its input file.
fn name(path: &Path) -> String {
    path.file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .replace(['.', '-'], "_")
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// Snapshots the body that Bedrock receives and the warnings, for each request.
#[tokio::test]
async fn requests_are_translated_to_converse() {
    for path in files("requests", ".json") {
        let gateway = Gateway::start().await;
        let reply = gateway.post(fs::read(&path).unwrap()).await;
        assert_eq!(
            reply.status,
            StatusCode::OK,
            "{}: {}",
            path.display(),
            reply.text()
        );
        let sent = gateway.sent();
        let warnings = reply.header("x-lintel-warnings").unwrap_or("none");
        let text = format!(
            "{}\n{}\nwarnings: {warnings}\n",
            sent.path,
            without_ids(&sent.body)
        );
        settings().bind(|| insta::assert_snapshot!(format!("request_{}", name(&path)), text));
    }
}

/// Returns the client's reply for a scripted reply of Bedrock, without the ID and the creation time.
async fn replay(scripted: ScriptedReply, request: &Value) -> String {
    let gateway = Gateway::start().await;
    gateway.simulator.script(scripted);
    let reply = gateway.chat(request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let text = reply.text();
    let id = text
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let created = text
        .split("\"created\":")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    text.replace(id, "chatcmpl-ID")
        .replace(&format!("\"created\":{created}"), "\"created\":0")
}

fn with_usage() -> Value {
    let mut request = streamed("Hi");
    request["stream_options"] = serde_json::json!({"include_usage": true});
    request
}

/// Replays raw frames of Bedrock. The client's bytes must not depend on how the frames are split into reads.
#[tokio::test]
async fn recorded_streams_are_translated_in_any_split() {
    for path in files("recorded", ".bin") {
        let recorded = Bytes::from(fs::read(&path).unwrap());
        let whole = replay(ScriptedReply::stream(vec![recorded.clone()]), &with_usage()).await;
        let split = recorded.chunks(97).map(Bytes::copy_from_slice).collect();
        assert_eq!(
            replay(ScriptedReply::stream(split), &with_usage()).await,
            whole,
            "{}",
            path.display()
        );
        settings().bind(|| insta::assert_snapshot!(format!("recorded_{}", name(&path)), whole));
    }
}

/// Replays events that were recorded without their framing.
#[tokio::test]
async fn recorded_events_are_translated_to_chunks() {
    for path in files("recorded", ".chunks.txt") {
        let text = fs::read_to_string(&path).unwrap();
        let frames = text.lines().map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            let (kind, payload) = event.as_object().unwrap().iter().next().unwrap();
            encode_event(kind, &payload.to_string())
        });
        let client = replay(ScriptedReply::stream(frames.collect()), &with_usage()).await;
        settings().bind(|| insta::assert_snapshot!(format!("recorded_{}", name(&path)), client));
    }
}

#[tokio::test]
async fn recorded_replies_are_translated_to_chat_completions() {
    for path in files("recorded", ".json") {
        let client = replay(
            ScriptedReply::json(200, fs::read(&path).unwrap()),
            &user("Hi"),
        )
        .await;
        settings().bind(|| insta::assert_snapshot!(format!("recorded_{}", name(&path)), client));
    }
}

#[test]
fn each_input_has_one_snapshot_and_no_snapshot_is_stale() {
    let inputs = files("requests", ".json")
        .into_iter()
        .map(|path| format!("request_{}.snap", name(&path)));
    let recordings = [".bin", ".chunks.txt", ".json"]
        .into_iter()
        .flat_map(|ending| files("recorded", ending));
    let families = files("families", ".json")
        .into_iter()
        .map(|path| format!("family_{}.snap", name(&path)));
    let replies = files("replies", ".json")
        .into_iter()
        .map(|path| format!("reply_{}.snap", name(&path)));
    let knowledge = files("knowledge", ".json")
        .into_iter()
        .map(|path| format!("knowledge_{}.snap", name(&path)));
    let invoked = files("invoke", ".json")
        .into_iter()
        .map(|path| format!("invoke_{}.snap", name(&path)));
    let invoke_replies = files("invoke-replies", ".json")
        .into_iter()
        .map(|path| format!("invoke_reply_{}.snap", name(&path)));
    let native = [
        ("native", "native"),
        ("native_replies", "native_reply"),
        ("native", "responses"),
        ("responses_replies", "responses_reply"),
    ];
    let messages = files("invoke", ".json")
        .into_iter()
        .map(|path| format!("messages_{}.snap", name(&path)));
    let native = native.into_iter().flat_map(|(folder, prefix)| {
        let paths = files(folder, ".json").into_iter();
        paths.map(move |path| format!("{prefix}_{}.snap", name(&path)))
    });
    let recordings = recordings.map(|path| format!("recorded_{}.snap", name(&path)));
    let mut expected: Vec<String> = inputs
        .chain(recordings)
        .chain(families)
        .chain(replies)
        .chain(knowledge)
        .chain(invoked)
        .chain(invoke_replies)
        .chain(native)
        .chain(messages)
        .chain(clients::snapshots().map(|name| format!("{name}.snap")))
        .chain(["routes.snap".to_owned()])
        .chain(
            ["embeddings", "images", "moderations", "rerank"]
                .map(|unit| format!("units_{unit}.snap")),
        )
        .collect();
    expected.sort();
    let snapshots = files("snapshots", ".snap");
    let found: Vec<&str> = snapshots
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(found, expected);
}

/// Returns the body without the request metadata that the gateway adds for Bedrock's invocation log, which differs in
/// each call.
fn without_ids(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap();
    let (before, rest) = text
        .split_once("\"lintel_request_id\":\"")
        .expect("every request has the ID of the call in its metadata");
    let (_, key) = rest.split_once("\"lintel_key_id\":\"").unwrap();
    let (_, after) = key.split_once('"').unwrap();
    match (
        before.strip_suffix(",\"requestMetadata\":{"),
        after.strip_prefix('}'),
    ) {
        (Some(before), Some(after)) => format!("{before}{after}"),
        _ => format!("{}{after}", before.trim_end_matches(',')),
    }
}
