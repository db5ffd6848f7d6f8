//! Turns as Converse sends them, whole and in any pieces.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lintel::simulator::{ScriptedReply, encode_event};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The content of a turn.
#[derive(Clone, Debug)]
pub struct Turn(pub Vec<Part>);

#[derive(Clone, Debug)]
pub enum Part {
    Thinking(String),
    Redacted(String),
    Text(String),
    /// The arguments of a call.
    Call(Value),
}

/// The sizes of pieces, which are used one after the other and then again.
#[derive(Clone, Debug)]
pub struct Cuts {
    /// Of texts and arguments, in characters.
    deltas: Vec<usize>,
    /// Of the bytes on the wire.
    wire: Vec<usize>,
}

impl Cuts {
    /// Pieces of one size.
    pub fn of(size: usize) -> Self {
        Self {
            deltas: vec![size],
            wire: vec![size * 50],
        }
    }
}

fn words() -> impl Strategy<Value = String> {
    // Characters of several bytes and what JSON escapes. White space at the ends is no part of a turn.
    r#"[a-z][a-zé漢🦀"\\{}<>\n ]{0,40}[a-z]"#
}

pub fn turn() -> impl Strategy<Value = Turn> {
    let arguments = (words(), any::<i32>(), any::<bool>()).prop_map(
        |(text, number, flag)| json!({"z": text, "a": [number, null], "m": {"flag": flag}}),
    );
    let part = prop_oneof![
        words().prop_map(Part::Thinking),
        words().prop_map(Part::Redacted),
        words().prop_map(Part::Text),
        arguments.prop_map(Part::Call),
        Just(Part::Call(json!({}))),
    ];
    let parts = prop::collection::vec(part, 1..7);
    parts.prop_map(|parts| {
        let mut turn: Vec<Part> = Vec::new();
        for part in parts {
            // Texts in a row are one text.
            let repeats = matches!((&part, turn.last()), (Part::Text(_), Some(Part::Text(_))));
            if !repeats {
                turn.push(part);
            }
        }
        // A turn of reasoning alone is no answer, and reasoning at its end belongs to nothing.
        if let Some(Part::Thinking(_) | Part::Redacted(_)) = turn.last() {
            turn.push(Part::Text("done".to_owned()));
        }
        // A model that thinks begins with it. Claude refuses other turns, so their reasoning is left out.
        let is_reasoning = |part: &Part| matches!(part, Part::Thinking(_) | Part::Redacted(_));
        if turn.iter().any(is_reasoning) && !is_reasoning(&turn[0]) {
            turn.insert(0, Part::Thinking("first".to_owned()));
        }
        Turn(turn)
    })
}

pub fn cuts() -> impl Strategy<Value = Cuts> {
    let deltas = prop::collection::vec(1usize..20, 1..5);
    let wire = prop::collection::vec(1usize..400, 1..5);
    (deltas, wire).prop_map(|(deltas, wire)| Cuts { deltas, wire })
}

/// The signature of a thought.
pub fn signature(thought: &str) -> String {
    STANDARD.encode(format!("signature of {thought}"))
}

impl Turn {
    /// The ids of its calls.
    pub fn call_ids(&self) -> Vec<String> {
        let calls = self.0.iter().enumerate();
        let calls = calls.filter(|(_, part)| matches!(part, Part::Call(_)));
        calls.map(|(nth, _)| format!("tooluse_{nth}")).collect()
    }

    /// The content blocks of Converse.
    pub fn blocks(&self) -> Vec<Value> {
        let parts = self.0.iter().enumerate();
        let block = |(nth, part): (usize, &Part)| match part {
            Part::Thinking(text) => {
                let thought = json!({"text": text, "signature": signature(text)});
                json!({"reasoningContent": {"reasoningText": thought}})
            }
            Part::Redacted(data) => {
                json!({"reasoningContent": {"redactedContent": STANDARD.encode(data)}})
            }
            Part::Text(text) => json!({"text": text}),
            Part::Call(input) => {
                let id = format!("tooluse_{nth}");
                json!({"toolUse": {"toolUseId": id, "name": "look", "input": input}})
            }
        };
        parts.map(block).collect()
    }

    fn stop_reason(&self) -> &'static str {
        match self.call_ids().is_empty() {
            true => "end_turn",
            false => "tool_use",
        }
    }

    pub fn whole(&self) -> ScriptedReply {
        let message = json!({"role": "assistant", "content": self.blocks()});
        let reply = json!({
            "output": {"message": message}, "stopReason": self.stop_reason(), "usage": usage(),
        });
        ScriptedReply::json(200, reply.to_string())
    }

    pub fn streamed(&self, cuts: &Cuts) -> ScriptedReply {
        let mut events = vec![("messageStart", json!({"role": "assistant"}))];
        let mut sizes = cuts.deltas.iter().copied().cycle();
        for (index, part) in self.0.iter().enumerate() {
            let mut delta = |delta: Value| {
                let payload = json!({"contentBlockIndex": index, "delta": delta});
                events.push(("contentBlockDelta", payload));
            };
            match part {
                Part::Thinking(text) => {
                    for piece in pieces(text, &mut sizes) {
                        delta(json!({"reasoningContent": {"text": piece}}));
                    }
                    for piece in pieces(&signature(text), &mut sizes) {
                        delta(json!({"reasoningContent": {"signature": piece}}));
                    }
                }
                Part::Redacted(data) => {
                    for piece in pieces(data, &mut sizes) {
                        let data = STANDARD.encode(piece);
                        delta(json!({"reasoningContent": {"redactedContent": data}}));
                    }
                }
                Part::Text(text) => {
                    for piece in pieces(text, &mut sizes) {
                        delta(json!({"text": piece}));
                    }
                }
                Part::Call(input) => {
                    let start = json!({"toolUseId": format!("tooluse_{index}"), "name": "look"});
                    let start = json!({"contentBlockIndex": index, "start": {"toolUse": start}});
                    let input = input.to_string();
                    // A call without arguments has no deltas.
                    let pieces = match input.as_str() {
                        "{}" => Vec::new(),
                        input => pieces(input, &mut sizes),
                    };
                    events.push(("contentBlockStart", start));
                    for piece in pieces {
                        let delta = json!({"toolUse": {"input": piece}});
                        let payload = json!({"contentBlockIndex": index, "delta": delta});
                        events.push(("contentBlockDelta", payload));
                    }
                }
            }
            events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
        }
        events.push(("messageStop", json!({"stopReason": self.stop_reason()})));
        events.push(("metadata", json!({"usage": usage()})));
        let frames = events
            .iter()
            .flat_map(|(name, payload)| encode_event(name, &payload.to_string()).to_vec());
        let bytes = Bytes::from_iter(frames);
        let mut sizes = cuts.wire.iter().copied().cycle();
        let mut rest = bytes;
        let mut body = Vec::new();
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(1).min(rest.len());
            body.push(rest.split_to(size));
        }
        ScriptedReply::stream(body)
    }
}

fn usage() -> Value {
    json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 15})
}

/// Cuts `text` into pieces of these sizes, in characters.
fn pieces(text: &str, sizes: &mut impl Iterator<Item = usize>) -> Vec<String> {
    let mut characters = text.chars().peekable();
    let mut pieces = Vec::new();
    while characters.peek().is_some() {
        let size = sizes.next().unwrap_or(1);
        pieces.push(characters.by_ref().take(size).collect());
    }
    pieces
}
