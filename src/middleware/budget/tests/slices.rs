//! Budgets that lower the output to what is left, and those that reserve it in slices.

use super::*;

/// Tokens that are reserved for a stream before it begins.
const SLICE: u64 = 2000;

fn long(stream: bool) -> Chat {
    Chat {
        max_completion_tokens: Some(5000),
        ..chat(stream)
    }
}

/// The cost of the input of [`long`] and of so many tokens of output, at most.
fn costs(output: u64) -> NanoUsd {
    let call = planned(&Arc::new(caller()), model(), long(true));
    cost(usage(call.plan.worst.input_tokens, output))
}

async fn fitting(limit: NanoUsd) -> Bench {
    let fits = Terms {
        fit: true,
        ..terms("key:ci", limit)
    };
    Bench::with(fits, |_| {}).await
}

async fn sliced(limit: NanoUsd) -> Bench {
    let sliced = Terms {
        mode: Mode::Sliced,
        ..terms("key:ci", limit)
    };
    Bench::with(sliced, |_| {}).await
}

#[tokio::test]
async fn output_is_lowered_to_what_is_left() {
    let bench = fitting(costs(300)).await;
    let next = Next::new(whole(usage(7, 3)));
    let call = planned(&bench.caller, model(), long(false));
    let served = send(&bench.budget, &next, call).await.unwrap();
    let received = next.last();
    assert_eq!(received.body.max_completion_tokens, Some(300));
    assert_eq!(
        received.plan.worst.output_tokens, 300,
        "the plan is new too"
    );
    let warnings = served.trace.warnings().joined().unwrap();
    assert!(
        warnings.contains("max_tokens: lowered to 300"),
        "{warnings}"
    );
    assert_eq!(bench.balance(), (cost(usage(7, 3)), NOTHING));
}

#[tokio::test]
async fn output_that_fits_is_not_lowered() {
    let bench = fitting(costs(5000)).await;
    let next = Next::new(whole(usage(7, 3)));
    let call = planned(&bench.caller, model(), long(false));
    let served = send(&bench.budget, &next, call).await.unwrap();
    assert_eq!(next.last().body.max_completion_tokens, Some(5000));
    assert_eq!(served.trace.warnings().joined(), None);
}

#[tokio::test]
async fn call_is_rejected_if_too_little_output_would_be_left() {
    let next = Next::new(whole(usage(7, 3)));
    for (output, calls) in [(MIN_FIT - 1, 0), (MIN_FIT, 1)] {
        let bench = fitting(costs(output)).await;
        let call = planned(&bench.caller, model(), long(false));
        let result = send(&bench.budget, &next, call).await;
        assert_eq!((result.is_ok(), next.calls()), (calls > 0, calls));
    }
}

#[tokio::test]
async fn stream_reserves_a_slice_at_a_time() {
    let bench = sliced(PLENTY).await;
    let next = Next::new(streamed(|| {
        vec![
            Ok(Chunk::Content("x".repeat(4 * 900))),
            Ok(Chunk::Content("x".repeat(4 * 1600))),
            Ok(Chunk::Finish(FinishReason::Stop)),
            Ok(Chunk::Usage(usage(7, 2500))),
        ]
    }));
    let call = planned(&bench.caller, model(), long(true));
    assert!(call.plan.visible);
    let mut stream = stream_of(send(&bench.budget, &next, call).await);
    stream.next().await.unwrap().unwrap();
    assert_eq!(bench.balance(), (NOTHING, costs(SLICE)));
    stream.next().await.unwrap().unwrap();
    assert_eq!(bench.balance(), (NOTHING, costs(2 * SLICE)));
    assert_eq!(stream.count().await, 2);
    assert_eq!(bench.balance(), (cost(usage(7, 2500)), NOTHING));
}

/// Like the reply of the service: a stream that is dropped is settled with an estimate.
struct Estimate(Option<Ticket>);

impl Drop for Estimate {
    fn drop(&mut self) {
        let estimated = Usage {
            estimated: true,
            ..usage(10, 2100)
        };
        self.0.take().unwrap().used(estimated);
    }
}

#[tokio::test]
async fn stream_ends_where_the_budget_has_no_more() {
    let bench = sliced(costs(SLICE + 100)).await;
    let next = Next::new(|call: &Call<Chat>, ticket| {
        let estimate = Estimate(Some(ticket));
        let endless = futures_util::stream::repeat_with(move || {
            let _keep = &estimate;
            let chunk = Chunk::Content("x".repeat(4 * 100));
            Ok(crate::operation::chat::ChoiceChunk { choice: 0, chunk })
        });
        let trace = call.trace.clone();
        let stream = crate::operation::chat::ChunkStream::new(endless, trace);
        Ok(crate::operation::chat::ChatReply::Stream(stream))
    });
    let call = planned(&bench.caller, model(), long(true));
    let trace = call.trace.clone();
    let stream = stream_of(send(&bench.budget, &next, call).await);
    let chunks: Vec<_> = stream.map(|item| item.unwrap().chunk).collect().await;
    let [.., finish, Chunk::Usage(_)] = &chunks[..] else {
        panic!("{:?}", chunks.last());
    };
    assert_eq!(*finish, Chunk::Finish(FinishReason::Length));
    let passed = chunks.len() as u64 - 2;
    assert!((20..=22).contains(&passed), "{passed} chunks of 100 tokens");
    let warnings = trace.warnings().joined().unwrap();
    assert!(warnings.contains("a budget is spent"), "{warnings}");
    let (settled, reserved) = bench.balance();
    assert_eq!(reserved, NOTHING);
    assert_eq!(settled, cost(usage(10, 2100)));
}

#[tokio::test]
async fn whole_reply_reserves_its_worst_case_in_a_sliced_budget() {
    let bench = sliced(costs(SLICE)).await;
    let next = Next::new(whole(usage(7, 3)));
    let call = planned(&bench.caller, model(), long(false));
    let error = send(&bench.budget, &next, call).await.unwrap_err();
    assert_eq!(error.kind(), Kind::BudgetSpent);
    assert_eq!(next.calls(), 0);
}
