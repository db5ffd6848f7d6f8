use std::{
    sync::{Mutex, atomic::AtomicUsize},
    time::SystemTime,
};

use aws_credential_types::provider::error::CredentialsError;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;
use crate::call::Team;

/// An STS whose sessions are named by the values of their tags.
#[derive(Debug, Default)]
struct Sts {
    requests: AtomicUsize,
    /// It fails with this text, or hangs if the text is empty.
    failure: Mutex<Option<&'static str>>,
    /// It refuses sessions with this tag.
    refused: Mutex<Option<&'static str>>,
}

impl OpenSession for Sts {
    fn open<'a>(&'a self, tags: &'a Tags) -> future::ProvideCredentials<'a> {
        future::ProvideCredentials::new(async {
            let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(Duration::from_millis(100)).await;
            let refused = *self.refused.lock().unwrap();
            if tags.iter().any(|(_, value)| Some(value) == refused) {
                return Err(CredentialsError::invalid_configuration("AccessDenied"));
            }
            let failure = *self.failure.lock().unwrap();
            match failure {
                Some("") => std::future::pending().await,
                Some(text) => Err(CredentialsError::provider_error(text)),
                None => {
                    let values: Vec<_> = tags.iter().map(|(_, value)| value).collect();
                    let id = format!("{} {number}", values.join("/"));
                    let expiry = SystemTime::now() + Duration::from_secs(3600);
                    Ok(Credentials::new(id, "secret", None, Some(expiry), "test"))
                }
            }
        })
    }
}

fn sessions() -> (Arc<Sts>, TaggedSessions) {
    let sts = Arc::new(Sts::default());
    (sts.clone(), TaggedSessions::with(sts, "own"))
}

fn caller(key: &str, team: &str) -> Caller {
    let team = Team {
        name: team.to_owned(),
        ..Team::default()
    };
    Caller {
        key_id: key.to_owned(),
        team: (!team.name.is_empty()).then(|| Arc::new(team)),
        ..Caller::default()
    }
}

async fn id(sessions: &TaggedSessions, caller: &Caller) -> Option<String> {
    let credentials = sessions.of(caller).await;
    credentials.map(|credentials| credentials.access_key_id().to_owned())
}

#[tokio::test(start_paused = true)]
async fn callers_have_sessions_of_their_own_that_their_requests_share() {
    let (sts, sessions) = sessions();
    let one = caller("ci", "search");
    for id in join_all((0..100).map(|_| id(&sessions, &one))).await {
        assert_eq!(id.as_deref(), Some("ci/search 1"));
    }
    let alone = caller("ci", "");
    assert_eq!(id(&sessions, &alone).await.as_deref(), Some("ci 2"));
    assert_eq!(sts.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn request_waits_for_sts_briefly_and_the_next_ones_not_at_all() {
    let (sts, sessions) = sessions();
    let ready = caller("ready", "");
    assert!(id(&sessions, &ready).await.is_some());
    *sts.failure.lock().unwrap() = Some("");
    let began = Instant::now();
    let new = caller("new", "");
    assert_eq!(id(&sessions, &new).await, None);
    assert_eq!(began.elapsed(), WAIT);
    assert_eq!(id(&sessions, &new).await, None);
    assert_eq!(id(&sessions, &caller("other", "")).await, None);
    assert!(id(&sessions, &ready).await.is_some(), "valid ones are used");
    assert_eq!(began.elapsed(), WAIT);
    *sts.failure.lock().unwrap() = None;
    let _ = timeout(Duration::from_secs(10), sessions.keep_fresh()).await;
    let before = sts.requests.load(Ordering::SeqCst);
    assert!(id(&sessions, &new).await.is_some());
    assert!(id(&sessions, &caller("other", "")).await.is_some());
    assert_eq!(sts.requests.load(Ordering::SeqCst), before);
}

#[tokio::test(start_paused = true)]
async fn sts_that_rejects_is_asked_less_and_less_often() {
    let (sts, sessions) = sessions();
    *sts.failure.lock().unwrap() = Some("AccessDenied");
    assert_eq!(id(&sessions, &caller("ci", "")).await, None);
    let _ = timeout(Duration::from_secs(600), sessions.keep_fresh()).await;
    let requests = sts.requests.load(Ordering::SeqCst);
    assert!((10..=20).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn sessions_in_use_are_refreshed_ahead_and_others_are_not() {
    let (sts, sessions) = sessions();
    let (busy, idle) = (caller("busy", ""), caller("idle", ""));
    id(&sessions, &busy).await;
    id(&sessions, &idle).await;
    // The first refresh serves whoever called before it, the second only who called since then.
    for _ in 0..2 {
        let _ = timeout(Duration::from_secs(3400), sessions.keep_fresh()).await;
        let began = Instant::now();
        assert!(id(&sessions, &busy).await.is_some());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
    assert_eq!(sts.requests.load(Ordering::SeqCst), 2 + 2 + 1);
}

#[test]
fn tags_have_only_characters_that_sts_allows_and_stay_distinct() {
    assert_eq!(tag_value("team-a/ci@example.com"), "team-a/ci@example.com");
    assert_eq!(tag_value(""), "");
    let (one, other) = (tag_value("büro"), tag_value("bäro"));
    assert!(one.starts_with("b_ro-") && other.starts_with("b_ro-"));
    assert_ne!(one, other);
    assert_eq!(tag_value(&"x".repeat(256)).len(), 256);
    let long = tag_value(&"y".repeat(300)).into_owned();
    assert_eq!(long.len(), 256);
    assert_ne!(long, tag_value(&"y".repeat(301)));
}

/// Others got no session for up to a minute.
#[tokio::test(start_paused = true)]
async fn refusal_of_one_caller_concerns_no_other() {
    let (sts, sessions) = sessions();
    *sts.refused.lock().unwrap() = Some("bad");
    let bad = caller("bad", "");
    let work = async {
        for second in 0..90 {
            assert_eq!(id(&sessions, &bad).await, None);
            let other = format!("other{second}");
            let expected = format!("{other} ");
            let credentials = id(&sessions, &caller(&other, "")).await;
            assert!(credentials.is_some_and(|id| id.starts_with(&expected)));
            sleep(Duration::from_secs(1)).await;
        }
        // Once for each other caller, and ever more rarely for this one.
        let asked = sts.requests.load(Ordering::SeqCst) - 90;
        assert!((4..10).contains(&asked), "{asked}");
        *sts.refused.lock().unwrap() = None;
        sleep(MAX_PAUSE * 2).await;
        assert!(id(&sessions, &bad).await.is_some());
    };
    tokio::select! {
        () = work => {}
        () = sessions.keep_fresh() => {}
    }
}
