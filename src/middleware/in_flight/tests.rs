use futures_util::{FutureExt, StreamExt};

use super::*;
use crate::{
    call::{Caller, EndUsers, Team},
    middleware::testing::{
        Next, caller, chat, complete, embed, embedder, model, send, stream_of, streamed, unplanned,
        usage, vector, whole,
    },
    model::{Limits, Model},
};

fn at_most(in_flight: u32) -> Limits {
    Limits {
        in_flight: Some(in_flight),
        ..Limits::default()
    }
}

/// A caller that may make so many calls at once.
fn limited(in_flight: u32) -> Arc<Caller> {
    let limits = at_most(in_flight);
    Arc::new(Caller { limits, ..caller() })
}

/// Reports whether `caller` could make one more call now. The call itself leaves no permit behind.
async fn has_room(in_flight: &InFlight, caller: &Arc<Caller>) -> bool {
    let next = Next::new(whole(usage(1, 1)));
    let call = unplanned(caller, model(), chat(false));
    send(in_flight, &next, call).await.is_ok()
}

#[tokio::test]
async fn call_over_the_limit_is_rejected_without_reaching_next() {
    let (in_flight, caller) = (InFlight::default(), limited(2));
    let next = Next::new(streamed(|| complete(usage(1, 1))));
    let call = || unplanned(&caller, model(), chat(true));
    let _first = send(&in_flight, &next, call()).await.unwrap();
    let _second = send(&in_flight, &next, call()).await.unwrap();
    let error = send(&in_flight, &next, call()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.code(), Some("rate_limit_exceeded"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert!(error.message().contains("key:ci"), "{error}");
    assert_eq!(next.calls(), 2);
}

#[tokio::test]
async fn permit_of_a_stream_is_held_until_its_end() {
    let (in_flight, caller) = (InFlight::default(), limited(1));
    let next = Next::new(streamed(|| complete(usage(1, 1))));
    let call = unplanned(&caller, model(), chat(true));
    let mut stream = stream_of(send(&in_flight, &next, call).await);
    for _ in 0..4 {
        assert!(!has_room(&in_flight, &caller).await);
        stream.next().await.unwrap().unwrap();
    }
    assert!(!has_room(&in_flight, &caller).await, "the end is not read");
    assert!(stream.next().await.is_none());
    assert!(
        has_room(&in_flight, &caller).await,
        "though it is not dropped"
    );
}

#[tokio::test]
async fn dropped_stream_returns_its_permit() {
    let (in_flight, caller) = (InFlight::default(), limited(1));
    let next = Next::new(streamed(|| complete(usage(1, 1))));
    let call = unplanned(&caller, model(), chat(true));
    let mut stream = stream_of(send(&in_flight, &next, call).await);
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert!(has_room(&in_flight, &caller).await);
}

#[tokio::test]
async fn whole_reply_returns_its_permit_at_once() {
    let (in_flight, caller) = (InFlight::default(), limited(1));
    let next = Next::new(whole(usage(1, 1)));
    let call = unplanned(&caller, model(), chat(false));
    let _reply = send(&in_flight, &next, call).await.unwrap();
    assert!(has_room(&in_flight, &caller).await);
}

#[tokio::test]
async fn failed_call_returns_its_permit() {
    let (in_flight, caller) = (InFlight::default(), limited(1));
    let call = unplanned(&caller, model(), chat(false));
    let error = send(&in_flight, &Next::failing(), call).await.unwrap_err();
    assert_eq!(error.code(), Some("upstream_throttle"));
    assert!(has_room(&in_flight, &caller).await);
}

#[tokio::test]
async fn call_that_is_dropped_while_it_waits_returns_its_permit() {
    let (in_flight, caller) = (InFlight::default(), limited(1));
    let next = Next::new(whole(usage(1, 1))).silent();
    let call = unplanned(&caller, model(), chat(false));
    let mut waiting = Box::pin(send(&in_flight, &next, call));
    assert!((&mut waiting).now_or_never().is_none());
    assert!(!has_room(&in_flight, &caller).await, "it holds its permit");
    drop(waiting);
    assert!(has_room(&in_flight, &caller).await);
}

#[tokio::test]
async fn call_takes_permits_in_all_scopes_or_in_none() {
    let in_flight = InFlight::default();
    let team = Arc::new(Team {
        name: "red".to_owned(),
        limits: at_most(1),
        ..Team::default()
    });
    let member = |key: &str, limits| {
        Arc::new(Caller {
            key_id: key.to_owned(),
            team: Some(team.clone()),
            limits,
            ..Caller::default()
        })
    };
    let (one, other) = (member("one", at_most(1)), member("other", at_most(1)));
    let next = Next::new(streamed(|| complete(usage(1, 1))));
    let running = send(&in_flight, &next, unplanned(&other, model(), chat(true))).await;
    let call = unplanned(&one, model(), chat(true));
    let error = send(&in_flight, &next, call).await.unwrap_err();
    assert!(error.message().contains("team:red"), "{error}");
    drop(running);
    assert!(has_room(&in_flight, &one).await, "its key has room again");
    assert!(has_room(&in_flight, &other).await);
    assert!(in_flight.0.lock().unwrap().is_empty(), "nothing is left");
}

#[tokio::test]
async fn model_and_end_user_are_scopes_of_their_own() {
    let in_flight = InFlight::default();
    let users = EndUsers {
        limits: at_most(1),
        ..EndUsers::default()
    };
    let caller = Arc::new(Caller {
        end_users: Some(users),
        ..caller()
    });
    let busy = || Model {
        limits: at_most(2),
        ..model()
    };
    let next = Next::new(streamed(|| complete(usage(1, 1))));
    let mut running = Vec::new();
    let mut refused = Vec::new();
    for user in ["a", "a", "b", "c"] {
        let mut call = unplanned(&caller, busy(), chat(true));
        call.end_user = user.to_owned();
        match send(&in_flight, &next, call).await {
            Ok(reply) => running.push(reply),
            Err(error) => refused.push(error.message().to_owned()),
        }
    }
    assert_eq!(running.len(), 2);
    assert!(refused[0].contains("key:ci/user:a"), "{refused:?}");
    assert!(refused[1].contains("model:fast"), "{refused:?}");
}

#[tokio::test]
async fn chats_and_embeddings_of_a_key_share_its_permits() {
    let (in_flight, caller) = (InFlight::default(), limited(1));
    let chats = Next::new(streamed(|| complete(usage(1, 1))));
    let embeddings = Next::new(vector(usage(1, 0)));
    let embedding = || unplanned(&caller, embedder(), embed());
    let call = unplanned(&caller, model(), chat(true));
    let running = send(&in_flight, &chats, call).await.unwrap();
    let error = send(&in_flight, &embeddings, embedding())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(embeddings.calls(), 0);
    drop(running);
    send(&in_flight, &embeddings, embedding()).await.unwrap();
    send(&in_flight, &embeddings, embedding()).await.unwrap();
    assert_eq!(embeddings.calls(), 2);
    let waits = embeddings.clone().silent();
    let mut waiting = Box::pin(send(&in_flight, &waits, embedding()));
    assert!((&mut waiting).now_or_never().is_none());
    assert!(
        !has_room(&in_flight, &caller).await,
        "an embedding holds one"
    );
    drop(waiting);
    assert!(has_room(&in_flight, &caller).await);
}
