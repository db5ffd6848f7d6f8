//! Responses in a file.

use std::path::Path;

use http::StatusCode;
use lintel::config::{self, Environment};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{after, check_unknown, id, seen, with_tool};
use crate::{
    response_api::{HAIKU, asking},
    support::{Gateway, PATIENCE},
};

/// Starts a gateway with a store in `folder`, with more settings of the store.
async fn start(folder: &Path, more: &str) -> Gateway {
    let file = folder.join("lintel.db");
    Gateway::start_with(&format!(
        "[store]\nurl = \"sqlite:{}\"\n{more}",
        file.display()
    ))
    .await
}

/// Stops a gateway, and returns a copy of its store. The process keeps the lock of the file itself.
async fn stop(mut gateway: Gateway, folder: &Path) -> TempDir {
    gateway.shutdown.cancel();
    let stopped = tokio::time::timeout(PATIENCE, &mut gateway.running).await;
    stopped.unwrap().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let name = "lintel.db";
    std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    copy
}

/// Reports whether a file of the store contains `text`.
fn contains(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap();
    let mut contents = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    contents.any(|content| {
        content
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

#[tokio::test]
async fn chain_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path(), "").await;
    let first = gateway.answer(&asking("one")).await;
    let second = gateway.answer(&after(&first, asking("two"))).await;
    let mut thinking = with_tool("Please look".into());
    thinking["model"] = HAIKU.into();
    thinking["reasoning"] = json!({"effort": "low"});
    let thought = gateway.respond_any(&thinking).await.json();
    let folder = stop(gateway, folder.path()).await;
    let gateway = start(folder.path(), "").await;
    assert_eq!(gateway.retrieve(id(&second)).await.json(), second);
    gateway.answer(&after(&second, asking("three"))).await;
    let sent = gateway.last_sent();
    assert_eq!(sent["messages"].as_array().unwrap().len(), 5);
    thinking["input"] = json!([seen(&thought)]);
    let reply = gateway.respond_any(&after(&thought, thinking)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let turn: Value = gateway.last_sent()["messages"][1]["content"].clone();
    assert!(turn.to_string().contains("reasoningContent"), "{turn}");
}

#[test]
fn key_file_that_is_missing_or_weak_is_a_problem_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let weak = folder.path().join("weak");
    std::fs::write(&weak, "short").unwrap();
    for (path, expected) in [
        (weak, "must have at least 32 random characters"),
        (folder.path().join("none"), "cannot read"),
    ] {
        let text = format!("[store]\nencryption_key_file = \"{}\"", path.display());
        let problems = config::parse(&text, &Environment::default(), None).unwrap_err();
        let problem = problems
            .iter()
            .find(|problem| problem.path == "store.encryption_key_file");
        let message = &problem.unwrap().message;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn contents_are_encrypted_at_rest_if_there_is_a_key() {
    let secret = "a marker that nobody else writes";
    for is_encrypted in [false, true] {
        let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = keys.path().join("key");
        std::fs::write(&path, "0123456789abcdef-key-of-the-store\n").unwrap();
        let more = match is_encrypted {
            true => format!("encryption_key_file = \"{}\"", path.display()),
            false => String::new(),
        };
        let gateway = start(folder.path(), &more).await;
        let first = gateway.answer(&asking(secret)).await;
        let folder = stop(gateway, folder.path()).await;
        assert_eq!(contains(folder.path(), secret), !is_encrypted);
        let gateway = start(folder.path(), &more).await;
        assert_eq!(gateway.retrieve(id(&first)).await.json(), first);
        gateway.answer(&after(&first, asking("two"))).await;
        let folder = stop(gateway, folder.path()).await;
        assert_eq!(contains(folder.path(), secret), !is_encrypted);
        std::fs::write(&path, "fedcba9876543210-key-of-another-store").unwrap();
        let gateway = start(folder.path(), &more).await;
        let reply = gateway.respond(&after(&first, asking("two"))).await;
        match is_encrypted {
            true => check_unknown(&reply),
            false => assert_eq!(reply.status, StatusCode::OK),
        }
    }
}
