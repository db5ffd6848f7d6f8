use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::governance::{Location, StoreSettings};

fn settings() -> ResponseSettings {
    ResponseSettings {
        is_on: true,
        retention: Duration::from_secs(60),
        max_bytes_per_key: 1 << 20,
        max_bytes: 1 << 20,
        max_chain: 10,
        encryption_key: None,
    }
}

fn response(id: &str, parent: Option<&str>, depth: u32) -> NewResponse {
    NewResponse {
        id: id.to_owned(),
        key_id: "alice".to_owned(),
        parent: parent.map(str::to_owned),
        depth,
        items: vec![format!("msg_{id}")],
        content: format!("content of {id}").into_bytes(),
        alone: None,
    }
}

async fn ledger(location: Location, clock: Clock) -> Ledger {
    let store = StoreSettings {
        location,
        ..StoreSettings::in_memory()
    };
    let (alerts, _) = mpsc::channel(1);
    Ledger::open_at(&store, alerts, clock).await.unwrap()
}

async fn in_memory() -> (Responses, Ledger) {
    let ledger = ledger(Location::Memory, Clock::default()).await;
    (Responses::open(&ledger, settings()).await, ledger)
}

fn ids(chain: &[StoredResponse]) -> Vec<&str> {
    chain.iter().map(|one| one.id.as_str()).collect()
}

#[tokio::test]
async fn response_is_found_before_and_after_it_is_written() {
    let (responses, ledger) = in_memory().await;
    for is_written in [false, true] {
        let id = |name: &str| format!("{name}{is_written}");
        responses.put(response(&id("a"), None, 1));
        if is_written {
            ledger.flush().await;
            assert!(responses.0.pending.get("alice", &id("a")).is_none());
        }
        responses.put(response(&id("b"), Some(&id("a")), 2));
        let found = responses.get("alice", &id("b")).await.unwrap();
        assert_eq!(
            *found.content,
            *format!("content of {}", id("b")).as_bytes()
        );
        let chain = responses.chain("alice", &id("b"), 999).await.unwrap();
        assert_eq!(ids(&chain), [id("a"), id("b")]);
        let items = vec![format!("msg_{}", id("a")), "msg_unknown".to_owned()];
        let holders = responses.holders("alice", items, 999).await.unwrap();
        assert_eq!(ids(&holders), [id("a")]);
        for error in [
            responses.get("bob", &id("b")).await.unwrap_err(),
            responses.chain("bob", &id("b"), 999).await.unwrap_err(),
            responses.delete("bob", &id("b")).await.unwrap_err(),
        ] {
            assert_eq!(error, ResponseError::NotFound);
        }
        let large = responses.chain("alice", &id("b"), 20).await.unwrap_err();
        assert_eq!(large, ResponseError::TooLarge);
        responses.delete("alice", &id("b")).await.unwrap();
        let gone = responses.get("alice", &id("b")).await.unwrap_err();
        assert_eq!(gone, ResponseError::NotFound);
    }
}

/// Was lost, although its client had received it.
#[tokio::test]
async fn response_whose_parent_was_deleted_meanwhile_has_the_whole_conversation() {
    let (responses, ledger) = in_memory().await;
    responses.put(response("a", None, 1));
    responses.delete("alice", "a").await.unwrap();
    responses.put(NewResponse {
        alone: Some(Box::new(|| Some(b"a and b".to_vec()))),
        ..response("b", Some("a"), 2)
    });
    for is_written in [false, true] {
        let chain = responses.chain("alice", "b", 999).await.unwrap();
        assert_eq!(ids(&chain), ["b"], "{is_written}");
        assert_eq!(*chain[0].content, *b"a and b");
        ledger.flush().await;
    }
}

#[tokio::test]
async fn response_expires_after_the_retention() {
    let now = Arc::new(AtomicI64::new(1_000_000_000_000));
    let source = now.clone();
    let clock =
        Clock::new(move || Timestamp::from_millisecond(source.load(Ordering::Relaxed)).unwrap());
    let ledger = ledger(Location::Memory, clock).await;
    let responses = Responses::open(&ledger, settings()).await;
    responses.put(response("a", None, 1));
    ledger.flush().await;
    now.fetch_add(59_999, Ordering::Relaxed);
    responses.put(response("b", Some("a"), 2));
    now.fetch_add(1, Ordering::Relaxed);
    let error = responses.get("alice", "a").await.unwrap_err();
    assert_eq!(error, ResponseError::NotFound);
    for is_written in [false, true] {
        let chain = responses.chain("alice", "b", 999).await.unwrap();
        assert_eq!(ids(&chain), ["a", "b"], "{is_written}");
        ledger.flush().await;
    }
}

#[tokio::test]
async fn content_of_another_encryption_key_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lintel.db");
    let keys = [None, Some("the first key"), Some("the second key")];
    for key in keys {
        let ledger = ledger(Location::File(path.clone()), Clock::default()).await;
        let settings = ResponseSettings {
            encryption_key: key.map(Secret::new),
            ..settings()
        };
        let responses = Responses::open(&ledger, settings).await;
        responses.put(response(key.unwrap_or("plain"), None, 1));
        ledger.flush().await;
        for written in keys
            .into_iter()
            .take_while(|other| *other != key)
            .chain([key])
        {
            let found = responses.get("alice", written.unwrap_or("plain")).await;
            // What was stored without encryption stays readable.
            let is_found = written.is_none() || written == key;
            assert_eq!(
                found.is_ok(),
                is_found,
                "{written:?} with {key:?}: {found:?}"
            );
            if !is_found {
                let deleted = responses.delete("alice", written.unwrap_or("plain")).await;
                assert_eq!(deleted, Err(ResponseError::NotFound));
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_found_if_responses_are_not_stored() {
    let ledger = ledger(Location::Memory, Clock::default()).await;
    let settings = ResponseSettings {
        is_on: false,
        ..settings()
    };
    let responses = Responses::open(&ledger, settings).await;
    let error = responses.get("alice", "a").await.unwrap_err();
    assert_eq!(error, ResponseError::NotFound);
    let holders = responses
        .holders("alice", vec!["msg_a".to_owned()], 9)
        .await;
    assert!(holders.unwrap().is_empty());
}

#[tokio::test]
async fn responses_that_wait_for_the_writer_are_bounded() {
    let pending = Pending::default();
    let half = || NewResponse {
        content: vec![0; 33 << 20],
        ..response("a", None, 1)
    };
    let first = pending.insert(half()).unwrap();
    assert!(pending.insert(half()).is_none());
    drop(first);
    assert!(pending.insert(half()).is_some());
    assert!(pending.get("alice", "a").is_none());
}
