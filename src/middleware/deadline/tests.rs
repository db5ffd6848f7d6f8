use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::*;
use crate::{
    call::Caller,
    middleware::testing::{
        Next, caller, chat, complete, embed, embedder, model, planned, send, stream_of, streamed,
        usage, vector, whole,
    },
    model::{Facts, Model, Timeouts},
    operation::chat::{Chat, ChatReply, ChoiceChunk, Chunk, ChunkStream},
};

const SECOND: Duration = Duration::from_secs(1);

/// A model with 10 s for a whole reply and 2 s for a first token.
fn timed(model: Model) -> Model {
    let timeouts = Timeouts {
        whole: 10 * SECOND,
        first_token: 2 * SECOND,
        idle: SECOND,
        ..Timeouts::default()
    };
    Model { timeouts, ..model }
}

fn with_facts(change: impl FnOnce(&mut Facts)) -> Model {
    let mut facts = Facts::default();
    change(&mut facts);
    Model {
        facts: Arc::new(facts),
        ..timed(model())
    }
}

fn anyone() -> Arc<Caller> {
    Arc::new(caller())
}

/// Sends a call that is answered after `delay`. Returns how long it took, and the code of its error.
async fn took(
    deadline: &Deadline,
    delay: Duration,
    call: Call<Chat>,
) -> (Duration, Option<&'static str>) {
    let next = match call.plan.delivery {
        Delivery::Whole => Next::new(whole(usage(1, 1))),
        Delivery::Stream | Delivery::Replayed => Next::new(streamed(|| complete(usage(1, 1)))),
    };
    let began = Instant::now();
    let reply = send(deadline, &next.after(delay), call).await;
    let code = reply.err().map(|error| error.label());
    (began.elapsed(), code)
}

#[tokio::test(start_paused = true)]
async fn whole_reply_has_the_whole_timeout() {
    let (deadline, model) = (Deadline::default(), timed(model()));
    let call = || planned(&anyone(), model.clone(), chat(false));
    let answered = took(&deadline, 9 * SECOND, call()).await;
    assert_eq!(answered, (9 * SECOND, None));
    let late = took(&deadline, 11 * SECOND, call()).await;
    assert_eq!(late.1, Some("upstream_timeout"));
    assert!(late.0 >= 10 * SECOND && late.0 < 11 * SECOND, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn error_names_the_limit_and_the_call_may_be_billed() {
    let (deadline, next) = (Deadline::default(), Next::new(whole(usage(1, 1))).silent());
    let call = planned(&anyone(), timed(model()), chat(false));
    let trace = call.trace.clone();
    let error = send(&deadline, &next, call).await.unwrap_err();
    assert_eq!(error.kind(), Kind::UpstreamTimeout);
    assert!(error.message().contains("10 s"), "{error}");
    assert_eq!(trace.spending().total().lost, 1, "the call was dropped");
}

#[tokio::test(start_paused = true)]
async fn error_names_the_guardrail_if_the_call_waits_for_it() {
    let (deadline, next) = (Deadline::default(), Next::new(whole(usage(1, 1))).silent());
    let call = planned(&anyone(), timed(model()), chat(false));
    let _judging = call.trace.judging();
    let error = send(&deadline, &next, call).await.unwrap_err();
    // Before, Bedrock "did not answer", with `upstream_timeout`.
    assert_eq!(error.label(), "guardrail_timeout");
    assert!(
        error.message().starts_with("The guardrail did not"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn stream_has_the_timeout_of_the_first_token() {
    let (deadline, model) = (Deadline::default(), timed(model()));
    let call = || planned(&anyone(), model.clone(), chat(true));
    assert_eq!(call().plan.delivery, Delivery::Stream);
    let answered = took(&deadline, SECOND, call()).await;
    assert_eq!(answered, (SECOND, None));
    let late = took(&deadline, 9 * SECOND, call()).await;
    assert_eq!(late.1, Some("first_token_timeout"));
    assert!(late.0 >= 2 * SECOND && late.0 < 3 * SECOND, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn stream_that_has_begun_has_no_deadline() {
    let deadline = Deadline::default();
    let next = Next::new(|call: &Call<Chat>, ticket| {
        ticket.used(usage(1, 1));
        let slow = stream::iter(complete(usage(1, 1))).then(async |item| {
            tokio::time::sleep(100 * SECOND).await;
            item.map(|chunk| ChoiceChunk { choice: 0, chunk })
        });
        let stream = ChunkStream::new(slow, call.trace.clone());
        Ok(ChatReply::Stream(stream))
    });
    let call = planned(&anyone(), timed(model()), chat(true));
    let stream = stream_of(send(&deadline, &next, call).await);
    let chunks: Vec<_> = stream.collect().await;
    assert!(chunks.iter().all(Result::is_ok));
    let last = &chunks.last().unwrap().as_ref().unwrap().chunk;
    assert!(matches!(last, Chunk::Usage(_)), "read to the end");
}

#[tokio::test(start_paused = true)]
async fn replayed_stream_has_the_whole_timeout() {
    let deadline = Deadline::default();
    let model = with_facts(|facts| facts.stream = false);
    let call = || planned(&anyone(), model.clone(), chat(true));
    assert_eq!(call().plan.delivery, Delivery::Replayed);
    let answered = took(&deadline, 9 * SECOND, call()).await;
    assert_eq!(answered, (9 * SECOND, None));
    let late = took(&deadline, 11 * SECOND, call()).await;
    assert_eq!(late.1, Some("upstream_timeout"));
}

/// A streamed chat whose answer has the schema `{"title": title}`.
fn with_schema(title: &str) -> Call<Chat> {
    let model = with_facts(|facts| facts.structured_output = true);
    let format = serde_json::json!({
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"title": title}},
    });
    // Through text, because a raw value cannot be read from a tree.
    let format = serde_json::from_str(&format.to_string()).unwrap();
    let body = Chat {
        response_format: Some(format),
        ..chat(true)
    };
    planned(&anyone(), model, body)
}

#[tokio::test(start_paused = true)]
async fn first_use_of_a_schema_has_five_times_as_long() {
    let deadline = Deadline::default();
    assert!(with_schema("a").plan.compiles.is_some());
    let first = took(&deadline, 9 * SECOND, with_schema("a")).await;
    assert_eq!(first, (9 * SECOND, None));
    let again = took(&deadline, 3 * SECOND, with_schema("a")).await;
    assert_eq!(
        again.1,
        Some("first_token_timeout"),
        "it is compiled by now"
    );
    assert!(again.0 < 3 * SECOND, "{again:?}");
    let other = took(&deadline, 9 * SECOND, with_schema("b")).await;
    assert_eq!(other.1, None, "another schema is compiled too");
    let clone = took(&deadline.clone(), 3 * SECOND, with_schema("b")).await;
    assert_eq!(
        clone.1,
        Some("first_token_timeout"),
        "clones remember together"
    );
}

#[tokio::test(start_paused = true)]
async fn schema_counts_as_compiled_only_after_a_reply() {
    let deadline = Deadline::default();
    let late = took(&deadline, 20 * SECOND, with_schema("a")).await;
    assert_eq!(late.1, Some("first_token_timeout"));
    assert!(late.0 >= 10 * SECOND && late.0 < 11 * SECOND, "{late:?}");
    let failed = send(&deadline, &Next::failing(), with_schema("a")).await;
    assert_eq!(failed.unwrap_err().code(), Some("upstream_throttle"));
    let next = took(&deadline, 9 * SECOND, with_schema("a")).await;
    assert_eq!(next, (9 * SECOND, None));
}

#[tokio::test(start_paused = true)]
async fn embedding_has_the_whole_timeout() {
    let deadline = Deadline::default();
    let call = || planned(&anyone(), timed(embedder()), embed());
    let next = Next::new(vector(usage(1, 0)));
    let quick = send(&deadline, &next.clone().after(9 * SECOND), call()).await;
    assert_eq!(quick.unwrap().reply.vectors.len(), 1);
    let late = send(&deadline, &next.after(11 * SECOND), call()).await;
    assert_eq!(late.unwrap_err().kind(), Kind::UpstreamTimeout);
}
