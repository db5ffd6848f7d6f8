use std::sync::Mutex;

use futures_util::{FutureExt, StreamExt, future::BoxFuture};

use super::*;
use crate::{
    middleware::testing::{
        Next, caller, chat, model, planned, send, stream_of, streamed, usage, whole,
    },
    model::Apply,
    openai::completion::{Annotation, FinishReason, UrlCitation},
    operation::chat::Chunk,
    upstream::Verdict,
};

/// Masks every `x`, blocks `bad`, and fails for `fail`. Records the texts.
#[derive(Default)]
struct Words(Mutex<Vec<String>>);

impl Judge for Words {
    fn judge<'a>(&'a self, case: Case<'a>) -> BoxFuture<'a, Result<Verdict, Error>> {
        let Some(Content::Text(text)) = case.content.first() else {
            unreachable!("every case has a text first")
        };
        self.0.lock().unwrap().push((*text).to_owned());
        case.trace
            .spending()
            .add_guardrail(crate::money::NanoUsd(5));
        let action = match *text {
            text if text.contains("fail") => {
                let error = Error::new(Kind::Upstream, "No verdict.").with_code("guardrail_failed");
                return Box::pin(async { Err(error) });
            }
            text if text.contains("bad") => Action::Block("Blocked.".to_owned()),
            text if text.contains('x') => Action::Mask(vec![text.replace('x', "{X}")]),
            _ => Action::Pass,
        };
        let verdict = Verdict {
            action,
            ..Verdict::default()
        };
        Box::pin(async { Ok(verdict) })
    }
}

fn guard() -> (Guard, Arc<Words>) {
    let words = Arc::new(Words::default());
    (Guard(words.clone()), words)
}

/// A call to a model whose guardrail is applied to `apply`.
fn call(apply: Apply, stream: bool) -> Call<Chat> {
    let mut model = model();
    model.options.guardrail = Some(Guardrail {
        identifier: "abc123".to_owned(),
        version: "1".to_owned(),
        trace: None,
        stream_processing_mode: None,
        show_trace: false,
        apply: Some(apply),
    });
    planned(&Arc::new(caller()), model, chat(stream))
}

fn content(text: impl Into<String>) -> Chunk {
    Chunk::Content(text.into())
}

/// The chunks that a client receives for a streamed answer of `chunks`.
async fn received(guard: &Guard, chunks: Vec<Chunk>) -> Vec<Result<Chunk, Error>> {
    let next = Next::new(streamed(move || {
        chunks.clone().into_iter().map(Ok).collect()
    }));
    let stream = stream_of(send(guard, &next, call(Apply::Output, true)).await);
    stream
        .map(|item| item.map(|item| item.chunk))
        .collect()
        .await
}

fn annotations() -> Vec<Annotation> {
    vec![Annotation::UrlCitation {
        url_citation: UrlCitation {
            start_index: 0,
            end_index: 1,
            url: "https://example.com".to_owned(),
            title: String::new(),
        },
        bedrock_citation: None,
    }]
}

#[tokio::test]
async fn a_model_without_apply_is_not_judged() {
    let (guard, words) = guard();
    let next = Next::new(whole(usage(1, 1)));
    let call = planned(&Arc::new(caller()), model(), chat(false));
    send(&guard, &next, call).await.unwrap();
    assert!(words.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_window_is_held_until_its_verdict_and_keeps_the_order_of_its_chunks() {
    let (guard, words) = guard();
    let tool = Chunk::ToolCall {
        index: 0,
        id: "a".into(),
        name: "f".into(),
    };
    let finish = Chunk::Finish(FinishReason::Stop);
    let first = "one ".repeat(150);
    let chunks = vec![
        content(first.clone()),
        tool.clone(),
        content("two ".repeat(150)),
        finish.clone(),
        Chunk::Usage(usage(1, 1)),
    ];
    let items = received(&guard, chunks).await;
    let chunks: Vec<Chunk> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!((&chunks[0], &chunks[1]), (&content(first), &tool));
    assert_eq!(chunks[chunks.len() - 2], finish);
    let judged = words.0.lock().unwrap();
    let lengths: Vec<usize> = judged.iter().map(String::len).collect();
    let repeated = 199;
    assert_eq!(
        lengths,
        [999, 201 + repeated],
        "the first window ends at a word"
    );
    let Some(Chunk::Usage(usage)) = chunks.last() else {
        panic!("the usage is last: {chunks:?}")
    };
    let cost = usage.cost.unwrap();
    assert_eq!(cost.guardrails.0, 10, "both judgments");
}

#[tokio::test]
async fn annotations_behind_a_mask_are_dropped() {
    let (guard, _) = guard();
    let chunks = vec![
        content("an x "),
        Chunk::CitedContent("here".to_owned(), annotations()),
        Chunk::Annotations(annotations()),
        Chunk::Finish(FinishReason::Stop),
        Chunk::Usage(usage(1, 1)),
    ];
    let items = received(&guard, chunks).await;
    let chunks: Vec<Chunk> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!(chunks[0], content("an {X} here"));
    assert_eq!(chunks[1], Chunk::Finish(FinishReason::Stop));
}

#[tokio::test]
async fn an_answer_beyond_its_reservation_ends_with_length() {
    let (guard, words) = guard();
    // The call has 100 tokens, each with 16 characters.
    let chunks = vec![
        content("word ".repeat(400)),
        content("more"),
        Chunk::Finish(FinishReason::Stop),
        Chunk::Usage(usage(1, 1)),
    ];
    let items = received(&guard, chunks).await;
    let chunks: Vec<Chunk> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!(words.0.lock().unwrap().len(), 2);
    let text = |chunk: &Chunk| match chunk {
        Chunk::Content(text) => text.len(),
        _ => 0,
    };
    assert_eq!(chunks.iter().map(text).sum::<usize>(), 1600);
    let finish = chunks.iter().rev().nth(1);
    assert_eq!(finish, Some(&Chunk::Finish(FinishReason::Length)));
    assert!(matches!(chunks.last(), Some(Chunk::Usage(_))), "{chunks:?}");
}

#[tokio::test]
async fn nothing_follows_a_window_without_a_verdict() {
    let (guard, _) = guard();
    let chunks = vec![
        content("word ".repeat(200)),
        content("fail "),
        Chunk::Finish(FinishReason::Stop),
        Chunk::Usage(usage(1, 1)),
    ];
    let mut items = received(&guard, chunks).await;
    let last = items.pop().unwrap();
    assert_eq!(last.unwrap_err().code(), Some("guardrail_failed"));
    assert_eq!(items.len(), 1, "the first window: {items:?}");
}

#[tokio::test]
async fn an_answer_without_a_client_is_not_judged() {
    let (guard, words) = guard();
    let next = Next::new(streamed(|| {
        vec![
            Ok(content("word ".repeat(900))),
            Ok(Chunk::Finish(FinishReason::Stop)),
            Ok(Chunk::Usage(usage(1, 1))),
        ]
    }));
    let call = call(Apply::Output, true);
    let trace = call.trace.clone();
    let stream = stream_of(send(&guard, &next, call).await);
    trace.set_client_gone();
    assert_eq!(stream.count().now_or_never(), Some(3));
    assert!(words.0.lock().unwrap().is_empty());
    assert!(trace.spending().total().usage.is_some());
}

#[tokio::test]
async fn nothing_more_is_sent_for_a_client_that_disconnects_during_a_judgment() {
    /// The client disconnects while the guardrail answers.
    struct Leaving(Mutex<usize>);
    impl Judge for Leaving {
        fn judge<'a>(&'a self, case: Case<'a>) -> BoxFuture<'a, Result<Verdict, Error>> {
            *self.0.lock().unwrap() += 1;
            case.trace.set_client_gone();
            Box::pin(async { Ok(Verdict::default()) })
        }
    }
    // Were (1, 1) and (2, 1): the rest of the input was judged, and the model called.
    for text in ["Hi".to_owned(), "word ".repeat(6000)] {
        let judge = Arc::new(Leaving(Mutex::new(0)));
        let guard = Guard(judge.clone());
        let next = Next::new(whole(usage(1, 1)));
        let mut call = call(Apply::Both, false);
        let messages = &mut Arc::make_mut(&mut call.body).messages;
        messages[0].parts = vec![crate::operation::chat::Part::Text(text)];
        let error = send(&guard, &next, call).await.err().unwrap();
        assert_eq!(error.code(), Some("client_gone"));
        assert_eq!((*judge.0.lock().unwrap(), next.calls()), (1, 0));
    }
}
