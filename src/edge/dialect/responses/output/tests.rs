//! The order of items and events, for answers that a real route writes only rarely.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::{
    call::Secret,
    openai::completion::{CustomCall, ThinkingBlock},
};

fn output() -> Output {
    let settings = OutputSettings {
        names: ToolNames::default(),
        seals: Seals::new(&[Secret::new("a secret of the tests")]),
        key_id: "alice".to_owned(),
        shows_reasoning: true,
        compacts: false,
        id: "X".to_owned(),
    };
    Output::new(settings, Events::new(false))
}

fn call(index: u32) -> Chunk {
    let name: Arc<str> = format!("tool{index}").into();
    let id = format!("call{index}").into();
    Chunk::ToolCall { index, id, name }
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

/// Returns the written events.
fn events(output: &mut Output) -> Vec<Value> {
    let written = output.events.out.split();
    let written = std::str::from_utf8(&written).unwrap().to_owned();
    let data = written
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn items(output: &Output) -> Value {
    serde_json::to_value(&output.items).unwrap()
}

#[test]
fn calls_whose_arguments_alternate_become_items_one_after_the_other() {
    let mut output = output();
    for chunk in [
        call(0),
        arguments(0, "{\"a\":"),
        call(1),
        arguments(1, "{"),
        text("Meanwhile."),
        arguments(0, "1}"),
        end(0),
        arguments(1, "}"),
        call(2),
        end(1),
        end(2),
        Chunk::Finish(FinishReason::ToolCalls),
    ] {
        output.chunk(chunk);
    }
    let mut open = 0;
    for event in events(&mut output) {
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => open += 1,
            "response.output_item.done" => open -= 1,
            _ => {}
        }
        assert!((0..=1).contains(&open), "{event}");
    }
    let items = items(&output);
    let list = items.as_array().unwrap();
    let mut found: Vec<_> = list.iter().map(|item| &item["arguments"]).collect();
    found.retain(|arguments| arguments.is_string());
    assert_eq!(found, ["{\"a\":1}", "{}", "{}"], "{items}");
    assert!(
        list.iter()
            .any(|item| item["content"][0]["text"] == "Meanwhile.")
    );
}

#[test]
fn cut_call_is_incomplete() {
    let mut output = output();
    for chunk in [
        call(0),
        arguments(0, "{\"a\":"),
        Chunk::Finish(FinishReason::Length),
    ] {
        output.chunk(chunk);
    }
    assert_eq!(items(&output)[0]["status"], "incomplete");
}

/// What the text is does not depend on the number of its pieces.
#[test]
fn source_of_the_answer_tells_whether_it_is_blocked() {
    for pieces in [vec!["Not allowed."], vec!["Not ", "allowed."], vec![]] {
        let (mut blocked, mut cut) = (output(), output());
        for piece in &pieces {
            blocked.chunk(text(piece));
            cut.chunk(text(piece));
        }
        blocked.chunk(Chunk::Blocked);
        for output in [&mut blocked, &mut cut] {
            output.chunk(Chunk::Finish(FinishReason::ContentFilter));
        }
        let message = match pieces.is_empty() {
            true => BLOCKED.to_owned(),
            false => pieces.concat(),
        };
        assert_eq!(blocked.blocked, Some(message));
        assert!(blocked.items.is_empty());
        assert_eq!(cut.blocked, None);
        let shown = &items(&cut)[0]["content"][0]["text"];
        assert_eq!(shown.as_str().unwrap_or_default(), pieces.concat());
    }
}

#[test]
fn unsigned_reasoning_is_sealed_too() {
    let mut output = output();
    for chunk in [
        Chunk::ReasoningContent("Hm".to_owned()),
        Chunk::Thinking(ThinkingBlock::RedactedThinking {
            data: "AAAA".to_owned(),
        }),
        Chunk::ReasoningContent("more".to_owned()),
        text("Hi"),
        Chunk::Finish(FinishReason::Stop),
    ] {
        output.chunk(chunk);
    }
    let items = items(&output);
    assert_eq!(items[0]["summary"].as_array().unwrap().len(), 2, "{items}");
    let sealed = items[0]["encrypted_content"].as_str().unwrap();
    let seals = Seals::new(&[Secret::new("a secret of the tests")]);
    assert_eq!(sealed::open(sealed, &seals, "alice").unwrap().len(), 2);
}

#[test]
fn sign_of_life_is_a_numbered_event() {
    let mut output = output();
    output.chunk(text("Hi"));
    output.events.keep_alive();
    output.chunk(Chunk::Finish(FinishReason::Stop));
    let events = events(&mut output);
    assert_eq!(events[0]["type"], "keepalive");
    assert_eq!(events[0]["sequence_number"], 0);
    assert_eq!(events[1]["sequence_number"], 1);
}

#[test]
fn input_of_a_custom_tool_is_streamed_and_may_be_cut() {
    let start = || Chunk::CustomToolStart {
        index: 0,
        id: "call0".into(),
        name: "patch".into(),
    };
    let piece = |fragment: &str| Chunk::CustomToolInput {
        index: 0,
        fragment: fragment.to_owned(),
    };
    let end = |is_cut| Chunk::CustomToolCall {
        index: 0,
        id: "call0".into(),
        call: CustomCall {
            name: "patch".to_owned(),
            input: "a\nb".to_owned(),
        },
        is_cut,
    };
    for (last, input, status) in [
        (Some(end(false)), "a\nb", "completed"),
        (Some(end(true)), "a\nb", "incomplete"),
        (None, "a\nb", "incomplete"),
    ] {
        let mut output = output();
        let pieces = [start(), piece("a\n"), piece("b")];
        let finish = Chunk::Finish(FinishReason::Length);
        for chunk in pieces.into_iter().chain(last).chain([finish]) {
            output.chunk(chunk);
        }
        let events = events(&mut output);
        let deltas = events.iter().filter_map(|event| event["delta"].as_str());
        assert_eq!(deltas.collect::<Vec<_>>(), ["a\n", "b"]);
        let item = &items(&output)[0];
        assert_eq!(item["input"], input);
        assert_eq!(item["status"], status);
    }
}
