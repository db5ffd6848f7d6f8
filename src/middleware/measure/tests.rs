use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use metrics::set_default_local_recorder;

use super::*;
use crate::{
    error::Kind,
    metrics::{
        INFLIGHT_REQUESTS, INFLIGHT_STREAMS, REQUEST_DURATION, STREAM_END, TIME_PER_OUTPUT_TOKEN,
        TIME_TO_FIRST_TOKEN, TOKENS,
    },
    middleware::testing::{
        Next, caller, chat, complete, embed, embedder, metric, model, planned, recorder, send,
        stream_of, streamed, usage, vector, whole,
    },
    operation::chat::Chunk,
};

const DURATION: &str = "gen_ai_server_request_duration_seconds_count";

#[tokio::test]
async fn error_is_counted_with_its_code_and_without_tokens() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let (measure, next) = (
        Measure::new("chat", "fast", ModelOutcomes::default()),
        Next::failing(),
    );
    let call = planned(&Arc::new(caller()), model(), chat(false));
    let error = send(&measure, &next, call).await.unwrap_err();
    assert_eq!(error.code(), Some("upstream_throttle"), "passed unchanged");
    assert!(DURATION.starts_with(REQUEST_DURATION));
    let labels = [
        ("operation", "chat"),
        ("request_model", "fast"),
        ("error_type", "upstream_throttle"),
    ];
    assert_eq!(metric(&recorder, DURATION, &labels), 1.0);
    assert_eq!(metric(&recorder, DURATION, &[]), 1.0, "counted once");
    assert_eq!(metric(&recorder, TOKENS, &[]), 0.0);
    assert_eq!(metric(&recorder, STREAM_END, &[]), 0.0);
    assert_eq!(metric(&recorder, INFLIGHT_REQUESTS, &[]), 0.0);
}

#[tokio::test]
async fn whole_reply_is_counted_with_its_tokens() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let (measure, next) = (
        Measure::new("chat", "fast", ModelOutcomes::default()),
        Next::new(whole(usage(7, 3))),
    );
    let call = planned(&Arc::new(caller()), model(), chat(false));
    let _reply = send(&measure, &next, call).await.unwrap();
    assert_eq!(metric(&recorder, DURATION, &[("error_type", "")]), 1.0);
    let tokens = |kind| {
        let labels = [("key_id", "ci"), ("model", "fast"), ("token_type", kind)];
        metric(&recorder, TOKENS, &labels)
    };
    assert_eq!((tokens("input"), tokens("output")), (7.0, 3.0));
    assert_eq!(metric(&recorder, STREAM_END, &[]), 0.0, "it is no stream");
    assert_eq!(metric(&recorder, INFLIGHT_REQUESTS, &[]), 0.0);
}

#[tokio::test]
async fn embedding_is_counted_under_its_own_operation() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let measure = Measure::new("embeddings", "vectors", ModelOutcomes::default());
    let next = Next::new(vector(usage(9, 0)));
    let call = planned(&Arc::new(caller()), embedder(), embed());
    send(&measure, &next, call).await.unwrap();
    let labels = [("operation", "embeddings"), ("request_model", "vectors")];
    assert_eq!(metric(&recorder, DURATION, &labels), 1.0);
    assert_eq!(metric(&recorder, TOKENS, &[("token_type", "input")]), 9.0);
    assert_eq!(metric(&recorder, TOKENS, &[("token_type", "output")]), 0.0);
}

#[tokio::test]
async fn stream_is_in_flight_until_its_last_chunk() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let measure = Measure::new("chat", "fast", ModelOutcomes::default());
    let next = Next::new(streamed(|| complete(usage(7, 3))));
    let call = planned(&Arc::new(caller()), model(), chat(true));
    let mut stream = stream_of(send(&measure, &next, call).await);
    stream.next().await.unwrap().unwrap();
    assert_eq!(metric(&recorder, INFLIGHT_REQUESTS, &[]), 1.0);
    assert_eq!(metric(&recorder, INFLIGHT_STREAMS, &[]), 1.0);
    assert_eq!(metric(&recorder, DURATION, &[]), 0.0);
    assert_eq!(stream.count().await, 3);
    assert_eq!(metric(&recorder, INFLIGHT_REQUESTS, &[]), 0.0);
    assert_eq!(metric(&recorder, INFLIGHT_STREAMS, &[]), 0.0);
    assert_eq!(metric(&recorder, STREAM_END, &[("how", "complete")]), 1.0);
    assert_eq!(metric(&recorder, STREAM_END, &[]), 1.0);
    assert_eq!(metric(&recorder, DURATION, &[("error_type", "")]), 1.0);
    assert_eq!(metric(&recorder, TOKENS, &[("token_type", "output")]), 3.0);
    for name in [TIME_TO_FIRST_TOKEN, TIME_PER_OUTPUT_TOKEN] {
        let count = metric(&recorder, &format!("{name}_count"), &[]);
        assert_eq!(count, 1.0, "{name}");
    }
}

#[tokio::test]
async fn stream_that_fails_is_counted_with_how_it_failed() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let measure = Measure::new("chat", "fast", ModelOutcomes::default());
    let next = Next::new(streamed(|| {
        let error = Error::new(Kind::Upstream, "Cut.").with_code("upstream_truncated");
        vec![Ok(Chunk::Content("Hel".to_owned())), Err(error)]
    }));
    let call = planned(&Arc::new(caller()), model(), chat(true));
    let stream = stream_of(send(&measure, &next, call).await);
    assert_eq!(stream.count().await, 2);
    assert_eq!(metric(&recorder, STREAM_END, &[("how", "truncated")]), 1.0);
    assert_eq!(metric(&recorder, STREAM_END, &[("how", "complete")]), 0.0);
    let labels = [("error_type", "truncated")];
    assert_eq!(metric(&recorder, DURATION, &labels), 1.0);
    assert_eq!(metric(&recorder, DURATION, &[]), 1.0, "counted once");
    let rate = format!("{TIME_PER_OUTPUT_TOKEN}_count");
    assert_eq!(metric(&recorder, &rate, &[]), 0.0, "of complete ones only");
}

#[tokio::test]
async fn dropped_stream_is_counted_as_a_client_that_disconnected() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let measure = Measure::new("chat", "fast", ModelOutcomes::default());
    let next = Next::new(streamed(|| complete(usage(7, 3))));
    let call = planned(&Arc::new(caller()), model(), chat(true));
    let mut stream = stream_of(send(&measure, &next, call).await);
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let labels = [("model", "fast"), ("how", "client_gone")];
    assert_eq!(metric(&recorder, STREAM_END, &labels), 1.0);
    let labels = [("error_type", "client_gone")];
    assert_eq!(metric(&recorder, DURATION, &labels), 1.0);
    assert_eq!(metric(&recorder, INFLIGHT_REQUESTS, &[]), 0.0);
    assert_eq!(metric(&recorder, INFLIGHT_STREAMS, &[]), 0.0);
}

#[tokio::test]
async fn stream_that_the_gateway_reads_to_its_end_is_counted_with_its_tokens() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let measure = Measure::new("chat", "fast", ModelOutcomes::default());
    let next = Next::new(streamed(|| complete(usage(7, 3))));
    let call = planned(&Arc::new(caller()), model(), chat(true));
    let served = send(&measure, &next, call).await.unwrap();
    let (kept, mut rest) = tokio::sync::mpsc::channel::<BoxFuture<'static, ()>>(1);
    let keep = move |rest| drop(kept.try_send(rest));
    drop(served.map(|reply| reply.kept_by(Box::new(keep))));
    assert_eq!(metric(&recorder, STREAM_END, &[]), 0.0, "it still runs");
    rest.recv().await.unwrap().await;
    assert_eq!(metric(&recorder, STREAM_END, &[("how", "drained")]), 1.0);
    assert_eq!(metric(&recorder, TOKENS, &[("token_type", "output")]), 3.0);
    assert_eq!(metric(&recorder, INFLIGHT_STREAMS, &[]), 0.0);
}

#[tokio::test]
async fn call_that_is_dropped_before_its_reply_is_counted_once() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let measure = Measure::new("chat", "fast", ModelOutcomes::default());
    let next = Next::new(whole(usage(7, 3))).silent();
    let call = planned(&Arc::new(caller()), model(), chat(false));
    assert!(send(&measure, &next, call).now_or_never().is_none());
    assert_eq!(next.calls(), 1);
    let labels = [("error_type", "client_gone")];
    assert_eq!(metric(&recorder, DURATION, &labels), 1.0);
    assert_eq!(metric(&recorder, INFLIGHT_REQUESTS, &[]), 0.0);
    assert_eq!(metric(&recorder, STREAM_END, &[]), 0.0, "no stream began");
}
