use futures_util::{FutureExt, StreamExt};
use tokio::time::advance;

use super::*;
use crate::{
    call::{Caller, Team},
    middleware::testing::{
        Next, caller, chat, complete, embed, embedder, model, send, stream_of, streamed, unplanned,
        usage, vector, whole,
    },
    model::Limits,
    operation::chat::Chat,
};

const SECOND: Duration = Duration::from_secs(1);

fn requests(rate: u32, burst: u32) -> Limits {
    Limits {
        requests_per_minute: Some(rate),
        burst: Some(burst),
        ..Limits::default()
    }
}

fn tokens(rate: u32) -> Limits {
    Limits {
        tokens_per_minute: Some(rate),
        ..Limits::default()
    }
}

fn limited(limits: Limits) -> Arc<Caller> {
    Arc::new(Caller { limits, ..caller() })
}

/// Sends a chat of about 110 tokens that uses `used` tokens.
async fn ask(limit: &RateLimit, caller: &Arc<Caller>, used: u64) -> Result<(), Error> {
    let next = Next::new(whole(usage(used, 0)));
    let call = unplanned(caller, model(), chat(false));
    let result = send(limit, &next, call).await;
    assert_eq!(next.calls(), usize::from(result.is_ok()), "rejected before");
    result.map(drop)
}

/// The tokens that are left to the key, as the client of its next call is told.
async fn left(limit: &RateLimit, caller: &Arc<Caller>) -> u64 {
    let one_token = Chat {
        max_completion_tokens: Some(1),
        ..Chat::default()
    };
    let call = unplanned(caller, model(), one_token);
    let trace = call.trace.clone();
    let next = Next::failing();
    let _ = send(limit, &next, call).await;
    trace.rate_limits().tokens.unwrap().remaining + next.calls() as u64
}

#[tokio::test(start_paused = true)]
async fn requests_over_the_rate_are_rejected_until_time_has_passed() {
    let (limit, caller) = (RateLimit::default(), limited(requests(60, 2)));
    ask(&limit, &caller, 1).await.unwrap();
    ask(&limit, &caller, 1).await.unwrap();
    let error = ask(&limit, &caller, 1).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.code(), Some("rate_limit_exceeded"));
    assert_eq!(error.retry_after(), Some(SECOND));
    assert!(
        error.message().contains("60 requests per minute"),
        "{error}"
    );
    advance(SECOND - Duration::from_millis(2)).await;
    let error = ask(&limit, &caller, 1).await.unwrap_err();
    assert!(error.retry_after().unwrap() <= Duration::from_millis(2));
    advance(Duration::from_millis(3)).await;
    ask(&limit, &caller, 1).await.unwrap();
    ask(&limit, &caller, 1).await.unwrap_err();
    advance(10 * SECOND).await;
    ask(&limit, &caller, 1).await.unwrap();
    ask(&limit, &caller, 1).await.unwrap();
    ask(&limit, &caller, 1).await.unwrap_err();
}

/// Each change gave a full burst again.
#[tokio::test(start_paused = true)]
async fn changed_rate_admits_no_request_before_its_time() {
    let limit = RateLimit::default();
    for rate in [60, 120, 60, 30] {
        for burst in [2, 3] {
            let _ = ask(&limit, &limited(requests(rate, burst)), 1).await;
        }
    }
    let fast = limited(requests(6_000, 1_000));
    ask(&limit, &fast, 1).await.unwrap_err();
    advance(SECOND / 100).await;
    ask(&limit, &fast, 1).await.unwrap();
    ask(&limit, &fast, 1).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn tokens_over_the_rate_are_rejected_until_time_has_passed() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(600)));
    ask(&limit, &caller, 520).await.unwrap();
    let error = ask(&limit, &caller, 1).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert!(error.message().contains("600 tokens per minute"), "{error}");
    // 80 are left of the 110 that are needed, and ten come back a second.
    let wait = error.retry_after().unwrap();
    assert!(wait >= 3 * SECOND && wait < 4 * SECOND, "{wait:?}");
    advance(2 * SECOND).await;
    ask(&limit, &caller, 1).await.unwrap_err();
    advance(2 * SECOND).await;
    ask(&limit, &caller, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn client_that_waits_as_long_as_it_is_told_is_admitted() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(600)));
    ask(&limit, &caller, 1000).await.unwrap();
    let wait = ask(&limit, &caller, 1).await.unwrap_err().retry_after();
    advance(wait.unwrap()).await;
    ask(&limit, &caller, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn charge_of_a_whole_reply_is_corrected_at_once() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(600)));
    ask(&limit, &caller, 10).await.unwrap();
    assert_eq!(left(&limit, &caller).await, 590);
}

#[tokio::test(start_paused = true)]
async fn charge_of_a_stream_is_corrected_at_its_end() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(600)));
    let next = Next::new(streamed(|| complete(usage(7, 3))));
    let call = unplanned(&caller, model(), chat(true));
    let mut stream = stream_of(send(&limit, &next, call).await);
    stream.next().await.unwrap().unwrap();
    assert_eq!(left(&limit, &caller).await, 490, "what was expected");
    assert_eq!(stream.count().await, 3);
    assert_eq!(left(&limit, &caller).await, 590, "what was used");
}

#[tokio::test(start_paused = true)]
async fn dropped_call_is_charged_as_expected() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(600)));
    let next = Next::new(streamed(|| complete(usage(7, 3))));
    let call = unplanned(&caller, model(), chat(true));
    let mut stream = stream_of(send(&limit, &next, call).await);
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(left(&limit, &caller).await, 490, "a dropped stream");
    let call = unplanned(&caller, model(), chat(true));
    assert!(send(&limit, &next.silent(), call).now_or_never().is_none());
    assert_eq!(left(&limit, &caller).await, 380, "dropped while it waits");
}

#[tokio::test(start_paused = true)]
async fn call_that_fails_without_a_bill_is_not_charged() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(600)));
    let call = unplanned(&caller, model(), chat(false));
    let error = send(&limit, &Next::failing(), call).await.unwrap_err();
    assert_eq!(error.code(), Some("upstream_throttle"));
    assert_eq!(left(&limit, &caller).await, 600);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_one_scope_come_back_if_a_later_one_rejects() {
    let limit = RateLimit::default();
    let team = Arc::new(Team {
        name: "red".to_owned(),
        limits: tokens(150),
        ..Team::default()
    });
    let caller = Arc::new(Caller {
        limits: tokens(600),
        team: Some(team),
        ..caller()
    });
    ask(&limit, &caller, 100).await.unwrap();
    let error = ask(&limit, &caller, 1).await.unwrap_err();
    assert!(error.message().contains("team:red"), "{error}");
    let alone = limited(tokens(600));
    assert_eq!(left(&limit, &alone).await, 500, "of the same key");
}

#[tokio::test(start_paused = true)]
async fn request_that_is_too_large_is_rejected_before_it_takes_a_permit() {
    let limit = RateLimit::default();
    let caller = limited(Limits {
        max_request_tokens: Some(109),
        ..requests(60, 1)
    });
    let error = ask(&limit, &caller, 1).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.param(), Some("max_tokens"));
    assert_eq!(error.should_retry(), Some(false));
    assert_eq!(error.retry_after(), None);
    let small = Arc::new(Caller {
        limits: Limits {
            max_request_tokens: Some(110),
            ..requests(60, 1)
        },
        ..self::caller()
    });
    ask(&limit, &small, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tightest_limit_is_reported() {
    let limit = RateLimit::default();
    let mut model = model();
    model.limits = tokens(220);
    let caller = limited(Limits {
        tokens_per_minute: Some(1000),
        ..requests(60, 10)
    });
    let call = unplanned(&caller, model, chat(false));
    let trace = call.trace.clone();
    let next = Next::new(whole(usage(1, 1)));
    send(&limit, &next, call).await.unwrap();
    let reported = trace.rate_limits();
    let requests = reported.requests.unwrap();
    assert_eq!((requests.limit, requests.remaining), (60, 9));
    assert_eq!(requests.reset, SECOND);
    let tokens = reported.tokens.unwrap();
    assert_eq!((tokens.limit, tokens.remaining), (220, 110));
}

#[tokio::test(start_paused = true)]
async fn call_without_limits_passes() {
    let (limit, caller) = (RateLimit::default(), limited(Limits::default()));
    for _ in 0..100 {
        ask(&limit, &caller, 1_000_000).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn embeddings_have_the_same_limits() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(120)));
    let next = Next::new(vector(usage(115, 0)));
    let call = || unplanned(&caller, embedder(), embed());
    send(&limit, &next, call()).await.unwrap();
    let error = send(&limit, &next, call()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(next.calls(), 1);
    advance(3 * SECOND).await;
    send(&limit, &next, call()).await.unwrap();
}

/// Before, the large call was rejected as long as smaller ones came.
#[tokio::test(start_paused = true)]
async fn call_larger_than_the_rate_passes_on_a_busy_key() {
    let (limit, caller) = (RateLimit::default(), limited(tokens(120)));
    let large = async || {
        let body = Chat {
            max_completion_tokens: Some(1_000),
            ..Chat::default()
        };
        let next = Next::new(whole(usage(1_000, 0)));
        send(&limit, &next, unplanned(&caller, model(), body)).await
    };
    ask(&limit, &caller, 110).await.unwrap();
    let wait = large().await.unwrap_err().retry_after().unwrap();
    assert!(wait <= 60 * SECOND, "{wait:?}");
    let mut passed = false;
    for _ in 0..120 {
        advance(SECOND).await;
        let _ = ask(&limit, &caller, 1).await;
        passed |= large().await.is_ok();
    }
    assert!(passed);
}
