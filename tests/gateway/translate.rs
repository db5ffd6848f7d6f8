//! Properties of the translation of replies and of the event stream decoder.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use lintel::{
    call::Warnings,
    edge::assistant_message,
    operation::chat::Chunk,
    simulator::{encode_event, encode_exception},
    upstream::{
        Frame, FrameReader,
        converse::{self, ReplyPlan, StreamTranslator},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Returns all frames that a reader decodes from `bytes`, split at `cuts`.
fn frames(bytes: &Bytes, cuts: &[usize]) -> Vec<Result<Frame, lintel::upstream::FrameError>> {
    let mut reader = FrameReader::default();
    let mut seen = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| cut % (bytes.len() + 1))
        .chain([bytes.len()])
        .collect();
    cuts.sort_unstable();
    for cut in cuts {
        reader.push(bytes.slice(at..cut));
        at = cut;
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => seen.push(Ok(frame)),
                Ok(None) => break,
                Err(error) => {
                    seen.push(Err(error));
                    return seen;
                }
            }
        }
    }
    seen
}

proptest! {
    #[test]
    fn frames_do_not_depend_on_how_the_bytes_are_split(texts in prop::collection::vec(".{0,40}", 1..8), cuts in prop::collection::vec(any::<usize>(), 0..20)) {
        let mut bytes = Vec::new();
        for text in &texts {
            let payload = json!({"contentBlockIndex": 0, "delta": {"text": text}}).to_string();
            bytes.extend_from_slice(&encode_event("contentBlockDelta", &payload));
        }
        bytes.extend_from_slice(&encode_exception("throttlingException", "{}"));
        let bytes = Bytes::from(bytes);
        let expected = frames(&bytes, &[]);
        prop_assert_eq!(expected.len(), texts.len() + 1);
        prop_assert_eq!(frames(&bytes, &cuts), expected);
    }

    /// A flipped bit is detected, or does not affect the frame.
    #[test]
    fn a_flipped_bit_never_changes_the_text(text in "[a-z ]{1,40}", at in any::<usize>(), bit in 0u8..8) {
        let payload = json!({"contentBlockIndex": 0, "delta": {"text": text}}).to_string();
        let mut bytes = encode_event("contentBlockDelta", &payload).to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let seen = frames(&Bytes::from(bytes), &[]);
        prop_assert!(seen.is_empty() || seen[0].is_err(), "{:?}", seen);
    }

    /// Indexes of tool calls are consecutive even if blocks interleave.
    #[test]
    fn argument_fragments_join_to_the_arguments_of_the_model(calls in prop::collection::vec(prop::collection::vec("[a-z\"{}:, ]{0,6}", 0..5), 1..5), order in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let mut translator = StreamTranslator::new(Arc::new(ReplyPlan::default()), Warnings::default());
        let mut out = VecDeque::new();
        let mut event = |kind: &str, payload: serde_json::Value| translator.event(kind, payload.to_string().as_bytes(), &mut out).unwrap();
        for index in 0..calls.len() {
            let id = format!("id{index}");
            // Leaves gaps, so that block indexes differ from call indexes.
            event("contentBlockStart", json!({"contentBlockIndex": index * 3 + 1, "start": {"toolUse": {"toolUseId": id, "name": "f"}}}));
        }
        let mut left: Vec<VecDeque<&String>> = calls.iter().map(|fragments| fragments.iter().collect()).collect();
        let picks = order.iter().map(|pick| pick.index(calls.len())).chain((0..calls.len()).flat_map(|call| std::iter::repeat_n(call, 5)));
        for call in picks {
            if let Some(fragment) = left[call].pop_front() {
                event("contentBlockDelta", json!({"contentBlockIndex": call * 3 + 1, "delta": {"toolUse": {"input": fragment}}}));
            }
        }
        for index in 0..calls.len() {
            event("contentBlockStop", json!({"contentBlockIndex": index * 3 + 1}));
        }
        event("messageStop", json!({"stopReason": "tool_use"}));
        let mut joined = vec![String::new(); calls.len()];
        for chunk in &out {
            if let Chunk::ToolArguments { index, fragment } = chunk {
                joined[*index as usize].push_str(fragment);
            }
        }
        for (call, joined) in calls.iter().zip(joined) {
            let written = call.concat();
            // Without arguments, they are an empty object.
            let completed = if written.trim().is_empty() { "{}" } else { "" };
            prop_assert_eq!(joined, written + completed);
        }
    }
}

/// The reader checks the prelude's checksum and the protocol's limit before it buffers a frame.
#[test]
fn frames_with_excessive_lengths_are_rejected_before_they_are_buffered() {
    for total in [0u32, 15, (24 << 20) + 1, u32::MAX] {
        let mut bytes = total.to_be_bytes().to_vec();
        bytes.extend(0u32.to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        let mut reader = FrameReader::default();
        reader.push(Bytes::from(bytes));
        assert_eq!(
            reader.next_frame(),
            Err(lintel::upstream::FrameError::Length),
            "{total}"
        );
    }
}

/// Content blocks, with the strings that the gateway's filters look for.
fn block() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z <>/é]{1,20}",
        Just("<think>hm</think> so".to_owned()),
        Just("one STOP two".to_owned())
    ];
    prop_oneof![
        4 => text.clone().prop_map(|text| json!({"text": text})),
        2 => text.clone().prop_map(|text| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "c2ln"}}})),
        2 => (0u32..99, prop_oneof![Just("f"), Just("c"), Just("answer")], text.clone()).prop_map(|(id, name, text)| {
            json!({"toolUse": {"toolUseId": format!("t{id}"), "name": name, "input": {"input": text}}})
        }),
        1 => text.prop_map(|text| {
            json!({"citationsContent": {"content": [{"text": text}], "citations": [{"title": "T", "source": "s"}]}})
        }),
    ]
}

/// Returns the events of a block, with its text split at `cuts`.
fn events(index: usize, block: &Value, cuts: &[usize]) -> Vec<(&'static str, Value)> {
    let pieces = |text: &str| -> Vec<String> {
        let mut places: Vec<usize> = cuts
            .iter()
            .map(|cut| cut % (text.len() + 1))
            .filter(|at| text.is_char_boundary(*at))
            .collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        places
            .windows(2)
            .map(|pair| text[pair[0]..pair[1]].to_owned())
            .collect()
    };
    let texts = |text: &Value| {
        pieces(text.as_str().unwrap())
            .into_iter()
            .map(|text| json!({"text": text}))
    };
    let (kind, inner) = block.as_object().unwrap().iter().next().unwrap();
    let (start, deltas): (Option<Value>, Vec<Value>) = match kind.as_str() {
        "text" => (None, texts(inner).collect()),
        "reasoningContent" => {
            let thought = &inner["reasoningText"];
            let signature = json!({"reasoningContent": {"signature": thought["signature"]}});
            (
                None,
                texts(&thought["text"])
                    .map(|text| json!({"reasoningContent": text}))
                    .chain([signature])
                    .collect(),
            )
        }
        "toolUse" => {
            let start =
                json!({"toolUse": {"toolUseId": inner["toolUseId"], "name": inner["name"]}});
            let input = inner["input"].to_string();
            (
                Some(start),
                pieces(&input)
                    .into_iter()
                    .map(|input| json!({"toolUse": {"input": input}}))
                    .collect(),
            )
        }
        _ => {
            let citation = json!({"citation": inner["citations"][0]});
            (
                None,
                std::iter::once(citation)
                    .chain(texts(&inner["content"][0]["text"]))
                    .collect(),
            )
        }
    };
    let mut events: Vec<(&str, Value)> = Vec::new();
    events.extend(start.map(|start| {
        (
            "contentBlockStart",
            json!({"contentBlockIndex": index, "start": start}),
        )
    }));
    events.extend(deltas.into_iter().map(|delta| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta}),
        )
    }));
    events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    events
}

proptest! {
    /// Also holds for every way of splitting the text into events.
    #[test]
    fn a_stream_contains_the_same_message_as_the_whole_reply(
        blocks in prop::collection::vec(block(), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        (inline, stop, unfence, custom) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        (json_tool, mute, one_call, legacy) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        stop_reason in prop_oneof![Just("end_turn"), Just("tool_use"), Just("max_tokens"), Just("guardrail_intervened")],
    ) {
        let plan = Arc::new(ReplyPlan {
            inline_tag: inline.then(|| "think".to_owned()),
            stops: if stop { vec!["STOP".to_owned()] } else { Vec::new() },
            unfence,
            custom: custom.then(|| "c".to_owned()).into_iter().collect(),
            json_tool: json_tool.then(|| "answer".to_owned()),
            mute,
            one_call,
            legacy,
            ..ReplyPlan::default()
        });
        let usage = json!({"inputTokens": 1, "outputTokens": 2, "totalTokens": 3});
        let reply = json!({"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": stop_reason, "usage": usage});
        let whole = converse::whole_reply(serde_json::from_str(&reply.to_string()).unwrap(), &plan, &Warnings::default()).unwrap();
        let mut translator = StreamTranslator::new(plan, Warnings::default());
        let mut chunks = VecDeque::new();
        let mut event = |kind: &str, payload: Value| translator.event(kind, payload.to_string().as_bytes(), &mut chunks).unwrap();
        for (index, block) in blocks.iter().enumerate() {
            for (kind, payload) in events(index, block, &cuts) {
                event(kind, payload);
            }
        }
        event("messageStop", json!({"stopReason": stop_reason}));
        event("metadata", json!({"usage": usage}));
        prop_assert_eq!(whole.chunks.back(), chunks.back(), "usage");
        prop_assert_eq!(assistant_message(whole.chunks.into()), assistant_message(chunks.into()));
    }
}
