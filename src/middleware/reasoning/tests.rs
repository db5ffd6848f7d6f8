use futures_util::StreamExt;

use super::*;
use crate::{
    call::Caller,
    middleware::testing::{
        Next, caller, chat, message, model, send, stream_of, streamed, text, tool_use, unplanned,
        usage,
    },
    model::{Facts, Model, Reasoning as ReasoningFacts, Target},
    openai::completion::{FinishReason, ThinkingBlock},
    operation::chat::{ChatReply, ToolResult},
    operation::chat::{Chunk, RedactedThinking, Thinking, WholeReply},
};

/// A model that signs its reasoning.
fn signing() -> Model {
    let reasoning = ReasoningFacts {
        signed: true,
        ..ReasoningFacts::default()
    };
    let facts = Facts {
        reasoning,
        ..Facts::default()
    };
    Model {
        facts: Arc::new(facts),
        ..model()
    }
}

fn thought(thinking: &str) -> Chunk {
    Chunk::Thinking(ThinkingBlock::Thinking {
        thinking: thinking.to_owned(),
        signature: Some(format!("signed {thinking}")),
    })
}

fn call_of(index: u32, id: &str) -> Chunk {
    Chunk::ToolCall {
        index,
        id: id.into(),
        name: "look".into(),
    }
}

/// A turn that thinks before each of its calls.
fn turn() -> Vec<Chunk> {
    vec![
        thought("first"),
        call_of(0, "a"),
        thought("second"),
        call_of(1, "b"),
        Chunk::Finish(FinishReason::ToolCalls),
    ]
}

fn answers(chunks: Vec<Chunk>) -> Next<Chat, Unplanned> {
    Next::new(move |_, ticket| {
        ticket.used(usage(1, 1));
        Ok(ChatReply::Whole(WholeReply {
            choices: vec![chunks.clone()],
            usage: usage(1, 1),
            guardrail: None,
        }))
    })
}

/// Lets `model` give the turn to `caller`.
async fn remember(reasoning: &Reasoning, caller: &Arc<Caller>, model: Model, chunks: Vec<Chunk>) {
    let call = unplanned(caller, model, chat(false));
    send(reasoning, &answers(chunks), call).await.unwrap();
}

/// A history whose turn has `parts`, with the results of its calls.
fn history(parts: Vec<Part>) -> Chat {
    let result = |id: &str| {
        Part::ToolResult(ToolResult {
            id: id.to_owned(),
            content: vec![text("done")],
            is_error: false,
        })
    };
    Chat {
        messages: vec![
            message(Role::User, vec![text("What is new?")]),
            message(Role::Assistant, parts),
            message(Role::User, vec![result("a"), result("b")]),
        ],
        ..chat(false)
    }
}

/// The parts of the turn as `next` receives them, and the bytes of the whole chat.
async fn restored(
    reasoning: &Reasoning,
    caller: &Arc<Caller>,
    model: Model,
    parts: Vec<Part>,
) -> (Vec<String>, usize) {
    let next = answers(vec![Chunk::Finish(FinishReason::Stop)]);
    let call = unplanned(caller, model, history(parts));
    send(reasoning, &next, call).await.unwrap();
    let received = next.last();
    let parts = received.body.messages[1]
        .parts
        .iter()
        .map(|part| match part {
            Part::Thinking(thinking) => {
                let signature = thinking.signature.as_deref().unwrap_or("unsigned");
                format!("{}, {signature}", thinking.text)
            }
            Part::RedactedThinking(redacted) => format!("redacted {}", redacted.data),
            Part::ToolUse(call) => format!("call {}", call.id),
            Part::Text(text) => text.clone(),
            other => format!("{other:?}"),
        });
    (parts.collect(), received.body.bytes)
}

const WHOLE_TURN: [&str; 4] = [
    "first, signed first",
    "call a",
    "second, signed second",
    "call b",
];

/// Bytes of `chat` in the helpers, before anything is put back.
const BYTES: usize = 40;

/// Bytes of the thinking of [`turn`] and its signatures.
const THOUGHTS: usize = "firstsigned firstsecondsigned second".len();

#[tokio::test]
async fn reasoning_comes_back_in_the_order_of_the_turn() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    remember(&reasoning, &caller, signing(), turn()).await;
    let calls = vec![tool_use("a"), tool_use("b")];
    let (parts, bytes) = restored(&reasoning, &caller, signing(), calls).await;
    assert_eq!(parts, WHOLE_TURN);
    assert_eq!(bytes, BYTES + THOUGHTS, "it is input, and counts as such");
}

#[tokio::test]
async fn streamed_turn_is_remembered_once_it_is_read_to_its_end() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    let next = Next::new(streamed(|| turn().into_iter().map(Ok).collect()));
    let call = || unplanned(&caller, signing(), chat(true));
    let mut stream = stream_of(send(&reasoning, &next, call()).await);
    for _ in 0..4 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    let calls = || vec![tool_use("a"), tool_use("b")];
    let (parts, _) = restored(&reasoning, &caller, signing(), calls()).await;
    assert_eq!(parts, ["call a", "call b"], "the turn did not end");
    let stream = stream_of(send(&reasoning, &next, call()).await);
    assert_eq!(stream.count().await, 5);
    let (parts, _) = restored(&reasoning, &caller, signing(), calls()).await;
    assert_eq!(parts, WHOLE_TURN);
}

#[tokio::test]
async fn text_and_redacted_reasoning_keep_their_place() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    let redacted = Chunk::Thinking(ThinkingBlock::RedactedThinking {
        data: "AAAA".to_owned(),
    });
    let turn = vec![
        redacted,
        Chunk::Content("I loo".to_owned()),
        Chunk::Content("k.".to_owned()),
        thought("then"),
        Chunk::Content("Again.".to_owned()),
        call_of(0, "a"),
        Chunk::Finish(FinishReason::ToolCalls),
    ];
    remember(&reasoning, &caller, signing(), turn).await;
    let parts = vec![text("I look.Again."), tool_use("a")];
    let (parts, _) = restored(&reasoning, &caller, signing(), parts).await;
    let then = "then, signed then";
    assert_eq!(
        parts,
        ["redacted AAAA", "I look.", then, "Again.", "call a"]
    );
}

#[tokio::test]
async fn another_key_gets_nothing() {
    let (reasoning, owner) = (Reasoning::default(), Arc::new(caller()));
    remember(&reasoning, &owner, signing(), turn()).await;
    let other = Arc::new(Caller {
        key_id: "other".to_owned(),
        ..caller()
    });
    let calls = vec![tool_use("a"), tool_use("b")];
    let (parts, bytes) = restored(&reasoning, &other, signing(), calls).await;
    assert_eq!(parts, ["call a", "call b"]);
    assert_eq!(bytes, BYTES);
}

#[tokio::test]
async fn another_model_gets_nothing() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    remember(&reasoning, &caller, signing(), turn()).await;
    let target = Target::new("example.other-v1:0", "us-east-1");
    let other = Model {
        facts: signing().facts,
        ..Model::new("fast", target)
    };
    let calls = vec![tool_use("a"), tool_use("b")];
    let (parts, _) = restored(&reasoning, &caller, other, calls).await;
    assert_eq!(parts, ["call a", "call b"]);
}

#[tokio::test]
async fn turn_of_a_model_that_does_not_sign_is_not_kept() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    remember(&reasoning, &caller, model(), turn()).await;
    let calls = vec![tool_use("a"), tool_use("b")];
    let (parts, _) = restored(&reasoning, &caller, model(), calls).await;
    assert_eq!(parts, ["call a", "call b"]);
}

/// Encrypted reasoning, as GPT models return it, was never kept.
#[tokio::test]
async fn encrypted_reasoning_of_a_model_that_does_not_sign_comes_back() {
    let facts = Facts {
        reasoning: ReasoningFacts {
            redacted: true,
            ..ReasoningFacts::default()
        },
        ..Facts::default()
    };
    let encrypting = || Model {
        facts: Arc::new(facts.clone()),
        ..model()
    };
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    let data = "AAAA".to_owned();
    let turn = vec![
        Chunk::Thinking(ThinkingBlock::RedactedThinking { data }),
        call_of(0, "a"),
        Chunk::Finish(FinishReason::ToolCalls),
    ];
    remember(&reasoning, &caller, encrypting(), turn).await;
    let (parts, _) = restored(&reasoning, &caller, encrypting(), vec![tool_use("a")]).await;
    assert_eq!(parts, ["redacted AAAA", "call a"]);
}

#[tokio::test]
async fn turn_without_calls_is_not_kept() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    let turn = vec![thought("first"), Chunk::Finish(FinishReason::Stop)];
    remember(&reasoning, &caller, signing(), turn).await;
    let parts = vec![text("Hello."), tool_use("unknown")];
    let (parts, _) = restored(&reasoning, &caller, signing(), parts).await;
    assert_eq!(parts, ["Hello.", "call unknown"]);
}

fn own(thinking: &str, signature: Option<&str>) -> Part {
    Part::Thinking(Thinking {
        text: thinking.to_owned(),
        signature: signature.map(str::to_owned),
    })
}

#[tokio::test]
async fn reasoning_that_the_client_sends_is_not_added_again() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    remember(&reasoning, &caller, signing(), turn()).await;
    // In the order of clients that send all reasoning first.
    let parts = vec![
        own("first", Some("signed first")),
        own("second", Some("signed second")),
        tool_use("a"),
        tool_use("b"),
    ];
    let (parts, bytes) = restored(&reasoning, &caller, signing(), parts).await;
    assert_eq!(parts, WHOLE_TURN, "only put in order");
    assert_eq!(bytes, BYTES, "nothing was added");
}

#[tokio::test]
async fn foreign_reasoning_that_the_client_sends_is_left_alone() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    remember(&reasoning, &caller, signing(), turn()).await;
    let parts = vec![
        tool_use("a"),
        own("mine", Some("signed elsewhere")),
        tool_use("b"),
    ];
    let (parts, bytes) = restored(&reasoning, &caller, signing(), parts).await;
    let mine = "mine, signed elsewhere";
    assert_eq!(parts, ["call a", mine, "call b"]);
    assert_eq!(bytes, BYTES);
    let parts = vec![
        Part::RedactedThinking(RedactedThinking {
            data: "BBBB".to_owned(),
        }),
        tool_use("a"),
    ];
    let (parts, _) = restored(&reasoning, &caller, signing(), parts).await;
    assert_eq!(parts, ["redacted BBBB", "call a"]);
}

#[tokio::test]
async fn reasoning_added_to_what_the_client_sends_counts_as_input() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    remember(&reasoning, &caller, signing(), turn()).await;
    let calls = [tool_use("a"), tool_use("b")];
    let part = [own("first", Some("signed first"))];
    let parts = part.into_iter().chain(calls.clone()).collect();
    let (_, bytes) = restored(&reasoning, &caller, signing(), parts).await;
    assert!(bytes >= BYTES + "secondsigned second".len(), "{bytes}");
    let unsigned = [own("first", None)];
    let parts = unsigned.into_iter().chain(calls).collect();
    let (parts, bytes) = restored(&reasoning, &caller, signing(), parts).await;
    assert!(parts[0].contains("signed first"), "{parts:?}");
    assert!(bytes >= BYTES + THOUGHTS - "first".len(), "{bytes}");
}

#[tokio::test]
async fn choices_are_remembered_apart() {
    let (reasoning, caller) = (Reasoning::default(), Arc::new(caller()));
    let next = Next::new(|_, ticket| {
        ticket.used(usage(1, 1));
        let choice = |thinking, id| {
            let end = Chunk::Finish(FinishReason::ToolCalls);
            vec![thought(thinking), call_of(0, id), end]
        };
        Ok(ChatReply::Whole(WholeReply {
            choices: vec![choice("one", "a"), choice("two", "b")],
            usage: usage(1, 1),
            guardrail: None,
        }))
    });
    let call = unplanned(&caller, signing(), chat(false));
    send(&reasoning, &next, call).await.unwrap();
    for (id, thinking) in [("a", "one"), ("b", "two")] {
        let (parts, _) = restored(&reasoning, &caller, signing(), vec![tool_use(id)]).await;
        let thinking = format!("{thinking}, signed {thinking}");
        assert_eq!(parts, [thinking, format!("call {id}")]);
    }
}
