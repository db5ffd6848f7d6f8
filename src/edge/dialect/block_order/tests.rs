//! The order of blocks.

use super::*;
use crate::openai::completion::{CustomCall, FinishReason};

fn call(index: u32) -> Chunk {
    Chunk::ToolCall {
        index,
        id: "id".into(),
        name: "tool".into(),
    }
}

fn arguments(index: u32, fragment: &str) -> Chunk {
    let fragment = fragment.to_owned();
    Chunk::ToolArguments { index, fragment }
}

fn end(index: u32) -> Chunk {
    Chunk::ToolCallEnd { index }
}

fn text(text: &str) -> Chunk {
    Chunk::Content(text.to_owned())
}

fn custom(index: u32) -> Chunk {
    let call = CustomCall {
        name: "tool".to_owned(),
        input: "input".to_owned(),
    };
    let id = "id".into();
    Chunk::CustomToolCall {
        index,
        id,
        call,
        is_cut: false,
    }
}

fn ordered(chunks: impl IntoIterator<Item = Chunk>) -> Vec<Chunk> {
    let (mut order, mut out) = (BlockOrder::default(), Vec::new());
    for chunk in chunks {
        order.push(chunk, &mut |chunk| out.push(chunk));
    }
    out
}

#[test]
fn calls_that_alternate_follow_one_another() {
    let (a, b) = (arguments(0, "{"), arguments(1, "{"));
    let (c, d) = (arguments(0, "}"), arguments(1, "}"));
    let mixed = [call(0), call(1), a, text("mid"), b, c, d, end(1), end(0)];
    let (a, b) = (arguments(0, "{"), arguments(1, "{"));
    let (c, d) = (arguments(0, "}"), arguments(1, "}"));
    let expected = [call(0), a, c, end(0), call(1), b, d, end(1), text("mid")];
    assert_eq!(ordered(mixed), expected);
}

#[test]
fn custom_call_keeps_its_place() {
    let start = Chunk::CustomToolStart {
        index: 0,
        id: "id".into(),
        name: "tool".into(),
    };
    let input = Chunk::CustomToolInput {
        index: 0,
        fragment: "input".to_owned(),
    };
    let (first, last) = (start.clone(), input.clone());
    let mixed = [first, call(1), end(1), text("after"), last, custom(0)];
    let expected = [start, input, custom(0), call(1), end(1), text("after")];
    assert_eq!(ordered(mixed), expected);
}

#[test]
fn end_of_the_answer_releases_everything() {
    let finish = Chunk::Finish(FinishReason::Length);
    let mixed = [
        call(0),
        call(1),
        arguments(1, "{}"),
        end(1),
        call(2),
        finish.clone(),
    ];
    let expected = [
        call(0),
        call(1),
        arguments(1, "{}"),
        end(1),
        call(2),
        finish,
    ];
    assert_eq!(ordered(mixed), expected);
}

/// Each fragment is moved at most twice, however many calls alternate.
#[test]
fn fragments_of_many_calls_are_ordered_in_linear_time() {
    let calls = 1000;
    let fragments = (0..400_000).map(|nth| arguments(nth % calls, "x"));
    let chunks = (0..calls).map(call).chain(fragments);
    let chunks = chunks.chain((0..calls).map(end));
    let began = std::time::Instant::now();
    assert_eq!(ordered(chunks).len(), 402_000);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}
